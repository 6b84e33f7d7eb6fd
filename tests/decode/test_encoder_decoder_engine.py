"""An encoder-decoder student writes what the library would write for each prompt alone, whatever stands beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray import Reasoner
from pad_ray.decode.encoder_decoder_engine import EncoderDecoderEngine
from pad_ray.decode.loading import load_engine
from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.errors import StudentError
from pad_ray.thoughts.program import student_prompt

PAIRS = [
    (student_prompt("What is 3 + 4?"), "def solution():\n    return 3 + 4\n"),
    ("one\n", "1\n"),
    ("two and more\n", "2\nQuestion: three?\n"),
]
PROMPTS = [prompt for prompt, _ in PAIRS]
RAGGED = ["a", "a longer prompt than the others\n", "bb", "ccc 12", "x" * 40, "the seventh"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_encoder_decoder(tmp_path_factory.mktemp("student"), PAIRS)


@pytest.fixture(scope="module")
def engine(student: Path) -> TransformersEngine:
    return load_engine(student, batch_size=4)


def make_bart(folder: Path) -> Path:
    """Another family: learned positions, so a context with an end, and a decoder that begins with the end token."""
    import torch
    from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration

    make_tiny_encoder_decoder(folder)
    layers: dict[str, Any] = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads: dict[str, Any] = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    tokens: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    size = len(AutoTokenizer.from_pretrained(folder))
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=size, d_model=32, max_position_embeddings=128, init_std=0.5, **layers, **heads, **tokens
    )
    config.forced_eos_token_id = None
    BartForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["tied", "untied", "bart"])
def random_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "bart":
        return load_engine(make_bart(folder), batch_size=4)
    return load_engine(make_tiny_encoder_decoder(folder, tied=request.param == "tied"), batch_size=4)


def test_the_configuration_chooses_the_engine(engine: TransformersEngine, tmp_path: Path) -> None:
    assert type(engine) is EncoderDecoderEngine
    assert type(load_engine(make_tiny_student(tmp_path))) is TransformersEngine


def test_greedy_text_of_a_ragged_batch_is_what_the_library_writes_for_each_prompt(
    random_engine: TransformersEngine,
) -> None:
    tokenizer, model = random_engine._tokenizer, random_engine.model
    together = random_engine.generate(RAGGED, max_tokens=30, temperature=0, seed=0)
    for prompt, ours in zip(RAGGED, together, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        theirs = model.generate(input_ids=ids, max_new_tokens=30, do_sample=False)
        assert ours.text == tokenizer.decode(theirs[0], skip_special_tokens=True)
    assert len({completion.text for completion in together}) > 1


def test_a_sample_depends_on_its_prompt_and_seed_and_not_on_its_batch(random_engine: TransformersEngine) -> None:
    seeds = list(range(10, 10 + len(RAGGED)))
    settings: dict[str, Any] = {"max_tokens": 80, "temperature": 2.5}  # longer than the first room of a cache
    together = random_engine.generate(RAGGED, seed=seeds, **settings)
    alone = [
        random_engine.generate([prompt], seed=[seed], **settings)[0] for prompt, seed in zip(RAGGED, seeds, strict=True)
    ]
    assert together == alone
    assert random_engine.generate(RAGGED, seed=seeds[::-1], **settings) != together
    assert len({completion.completion_tokens for completion in together}) > 1, "no row left the batch early"


def test_what_was_learned_is_written_and_all_tokens_are_counted(engine: TransformersEngine) -> None:
    done = engine.generate(PROMPTS, max_tokens=60, temperature=0, seed=0)
    assert [completion.text for completion in done] == [text for _, text in PAIRS]
    # One token per character, between a beginning and an end token.
    assert [one.prompt_tokens for one in done] == [len(prompt) + 2 for prompt in PROMPTS]
    assert [one.completion_tokens for one in done] == [len(text) + 2 for _, text in PAIRS]
    assert {one.finish_reason for one in done} == {"stop"}


def test_limits_and_stop_texts_cut_the_completion(engine: TransformersEngine) -> None:
    [cut] = engine.generate(PROMPTS[:1], max_tokens=6, temperature=0, seed=0)
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("def s", "length", 6)
    [stopped] = engine.generate(PROMPTS[2:], max_tokens=60, temperature=0, seed=0, stop="Question:")
    assert (stopped.text, stopped.finish_reason) == ("2\n", "stop")


def test_a_context_bounds_what_is_read_and_what_is_written_apart(tmp_path: Path) -> None:
    bounded = load_engine(make_bart(tmp_path), batch_size=4)
    full, fits = bounded.generate(["x" * 127, "y" * 126], max_tokens=200, temperature=0, seed=0)
    assert (full.text, full.finish_reason, full.completion_tokens) == ("", "length", 0)
    assert 0 < fits.completion_tokens <= 128


def test_a_question_is_answered_with_such_a_student(student: Path) -> None:
    with Reasoner.load(student) as reasoner:
        answer = reasoner.solve("What is 3 + 4?")
    assert (answer.answer, answer.program) == ("7", PAIRS[0][1])


def test_a_model_whose_decoder_cannot_begin_is_refused_with_the_mend(student: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(student, tmp_path / "headless")
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((folder / name).read_text())
        settings.pop("decoder_start_token_id")
        (folder / name).write_text(json.dumps(settings))
    with pytest.raises(StudentError, match=r"t5 model names no decoder_start_token_id.*padding token"):
        load_engine(folder).generate(["one\n"], max_tokens=3, temperature=0, seed=0)


def test_a_folder_of_another_kind_with_an_encoders_configuration_is_named(tmp_path: Path) -> None:
    folder = make_tiny_student(tmp_path / "mixed")
    config = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(StudentError, match="mixed"):
        load_engine(folder)
