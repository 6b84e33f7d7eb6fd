"""The engine writes what the model would write, whatever stands beside it in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_student import make_tiny_student

from pad_ray.decode import transformers_engine
from pad_ray.decode.student_engine import prompt_ids
from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.errors import StudentError
from pad_ray.records import Message

PAIRS = [
    ("Q: seven?\n", "def solution():\n    return 7\n"),
    ("Q: what is two and three, please?\n", "def solution():\n    a = 2 + 3\n    return a\n"),
    ("one\n", "1\n"),
    ("two\n", "2\nQuestion: three?\n"),
]
PROMPTS = [prompt for prompt, _ in PAIRS]
SHARED = "Read this before you answer, every time anew.\n"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"), PAIRS)


@pytest.fixture(scope="module")
def engine(student: Path) -> TransformersEngine:
    return TransformersEngine(student, batch_size=4)


@pytest.fixture(scope="module")
def random_engine(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    return TransformersEngine(make_tiny_student(tmp_path_factory.mktemp("random")), batch_size=4)


def test_completions_are_what_the_student_learned_in_the_order_of_the_prompts(engine: TransformersEngine) -> None:
    done = engine.generate(PROMPTS, max_tokens=60, temperature=0, seed=0)
    assert [completion.text for completion in done] == [text for _, text in PAIRS]
    assert {completion.finish_reason for completion in done} == {"stop"}
    # One token per character in this tokenizer, and the end token is counted.
    assert [c.prompt_tokens for c in done] == [len(prompt) for prompt in PROMPTS]
    assert [c.completion_tokens for c in done] == [len(text) + 1 for _, text in PAIRS]


def test_a_batch_decodes_like_its_prompts_one_by_one(random_engine: TransformersEngine) -> None:
    prompts = ["a", "a longer prompt than the others\n", "bb", "ccc 12", "x" * 40, "the seventh"]
    for temperature in (0.0, 0.9):
        seeds = list(range(10, 10 + len(prompts)))
        together = random_engine.generate(prompts, max_tokens=24, temperature=temperature, seed=seeds)
        alone = [
            random_engine.generate([prompt], max_tokens=24, temperature=temperature, seed=[seed])[0]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        assert together == alone


def test_what_all_prompts_begin_with_is_read_once_and_changes_nothing(
    random_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [SHARED + own for own in ("a", "b longer", "c", "d the longest", "e", "f")]
    read: list[int] = []
    forward = random_engine.model.forward

    def counting(**kwargs: Any) -> Any:
        read.append(kwargs["input_ids"].numel())
        return forward(**kwargs)

    monkeypatch.setattr(random_engine.model, "forward", counting)
    for temperature in (0.0, 0.9):
        # Long enough for the cache to outgrow its first room, and some rows end on the way.
        settings: dict[str, Any] = {"max_tokens": 90, "temperature": temperature, "seed": 3}
        monkeypatch.setattr(transformers_engine, "SHARED", 10_000)
        apart = random_engine.generate(prompts, **settings)
        monkeypatch.setattr(transformers_engine, "SHARED", 32)
        read.clear()
        assert random_engine.generate(prompts, **settings) == apart
        # The beginning alone, then a batch of four as wide as the longest rest.
        assert read[:2] == [len(SHARED), 4 * len("d the longest")]
    assert len({completion.completion_tokens for completion in apart}) > 1


@pytest.mark.parametrize("before", ["", SHARED], ids=["alone", "behind a shared beginning"])
def test_prompts_read_in_parts_are_continued_like_prompts_read_at_once(
    random_engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    prompts = [before + prompt for prompt in (*PROMPTS, "x", "a much longer prompt than all the others, by far")]
    monkeypatch.setattr(random_engine, "batch_size", len(prompts))
    written: list[list[str]] = []
    for part in (10_000, 60, 1):
        monkeypatch.setattr(transformers_engine, "PART", part)
        done = random_engine.generate(prompts, max_tokens=20, temperature=0.8, seed=3)
        written.append([completion.text for completion in done])
    assert written[0] == written[1] == written[2]


def test_one_prompt_many_times_is_read_once(engine: TransformersEngine) -> None:
    prompts = [SHARED + PROMPTS[0]] * 3
    together = engine.generate(prompts, max_tokens=40, temperature=0, seed=0)
    assert together == engine.generate(prompts[:1], max_tokens=40, temperature=0, seed=0) * 3


def test_a_model_with_sliding_windows_shares_nothing_and_rows_still_leave(tmp_path: Path, student: Path) -> None:
    import torch
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(student)
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 1}
    config = MistralConfig(vocab_size=len(tokenizer), sliding_window=200, eos_token_id=0, **shape, **heads)
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    sliding = TransformersEngine(tmp_path)
    prompts = [SHARED + own for own in ("a", "b longer", "c")]
    together = sliding.generate(prompts, max_tokens=80, temperature=1.0, seed=[1, 2, 3])
    alone = [
        sliding.generate([prompt], max_tokens=80, temperature=1.0, seed=[seed])[0]
        for seed, prompt in enumerate(prompts, 1)
    ]
    assert together == alone


def test_greedy_decoding_agrees_with_the_library(random_engine: TransformersEngine) -> None:
    tokenizer, model = random_engine._tokenizer, random_engine.model
    prompt = "Q: what is two and three?\n"
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    theirs = model.generate(input_ids=ids, max_new_tokens=30, do_sample=False, pad_token_id=0)
    text = tokenizer.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)
    [ours] = random_engine.generate([prompt], max_tokens=30, temperature=0, seed=0)
    assert ours.text == text


def test_sampling_follows_the_seed_and_the_models_distribution(random_engine: TransformersEngine) -> None:
    import torch

    def sample(seed: int) -> list[str]:
        return [c.text for c in random_engine.generate(["Q:"] * 3, max_tokens=12, temperature=1.0, seed=seed)]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert len(set(sample(1))) == 3  # the same prompt at several places draws differently
    wide = TransformersEngine(random_engine.student_dir, batch_size=1000)
    first = wide.generate(["Q:"] * 2000, max_tokens=1, temperature=0.5, seed=5)
    ids = random_engine._tokenizer("Q:", return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = torch.softmax(random_engine.model(input_ids=ids).logits[0, -1] / 0.5, -1)
    likeliest = int(expected.argmax())
    seen = sum(c.text == random_engine._tokenizer.decode([likeliest]) for c in first) / len(first)
    assert seen == pytest.approx(float(expected[likeliest]), abs=0.03)


def test_limits_cut_the_completion_and_say_so(engine: TransformersEngine) -> None:
    [cut] = engine.generate(PROMPTS[:1], max_tokens=5, temperature=0, seed=0)
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("def s", "length", 5)


def test_what_nobody_waits_for_is_dropped_and_changes_nothing_for_the_others(engine: TransformersEngine) -> None:
    asked = [0] * len(PROMPTS)

    def wanted(place: int) -> bool:
        asked[place] += 1
        return place != 1 or asked[1] < 10

    done = engine.generate(PROMPTS, max_tokens=60, temperature=0, seed=0, wanted=wanted)
    assert done[1].completion_tokens < 12 and done[1].finish_reason == "length"
    others = [completion for place, completion in enumerate(done) if place != 1]
    assert [completion.text for completion in others] == [text for place, (_, text) in enumerate(PAIRS) if place != 1]
    dropped = engine.generate(PROMPTS, max_tokens=60, temperature=0, seed=0, wanted=lambda _: False)
    assert {completion.completion_tokens for completion in dropped} == {0}


def test_a_completion_ends_where_the_stop_text_begins(engine: TransformersEngine) -> None:
    settings: dict[str, Any] = {"max_tokens": 60, "temperature": 0, "seed": 0}
    whole = engine.generate(PROMPTS, **settings)
    cut = engine.generate(PROMPTS, **settings, stop="Question:")
    assert cut[:3] == whole[:3]  # those without the text are as ever
    assert (cut[3].text, cut[3].finish_reason) == ("2\n", "stop")
    assert cut[3].completion_tokens == len("2\nQuestion:") < whole[3].completion_tokens


def test_a_prompt_beyond_the_context_ends_at_the_limit_and_spares_its_neighbours(engine: TransformersEngine) -> None:
    full, fits = engine.generate(["x" * 300, PROMPTS[0]], max_tokens=60, temperature=0, seed=0)
    assert (full.text, full.finish_reason, full.completion_tokens) == ("", "length", 0)
    assert fits.text == PAIRS[0][1]


def test_a_small_model_leaves_the_callers_threads_as_they_were(engine: TransformersEngine) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        engine.generate(["Q:"], max_tokens=2, temperature=0, seed=0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_no_prompts_give_no_completions(engine: TransformersEngine) -> None:
    assert engine.generate([], max_tokens=5, temperature=0, seed=0) == []


def test_an_empty_prompt_is_refused_where_nothing_stands_before_it(engine: TransformersEngine) -> None:
    with pytest.raises(ValueError, match=r"prompts\[1\] is empty"):
        engine.generate(["Q:", ""], max_tokens=5, temperature=0, seed=0)


def test_seeds_must_match_the_prompts(engine: TransformersEngine) -> None:
    with pytest.raises(ValueError, match="2 seeds for 4 prompts"):
        engine.generate(PROMPTS, max_tokens=5, temperature=1, seed=[1, 2])


def test_a_prompt_begins_with_bos_only_where_the_tokenizer_adds_it_itself(student: Path) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    plain = AutoTokenizer.from_pretrained(student)
    assert len(prompt_ids(plain, "abc")) == 3
    adds_both = AutoTokenizer.from_pretrained(student, bos_token="<unk>")
    assert len(prompt_ids(adds_both, "abc")) == 3
    adds_both.backend_tokenizer.post_processor = TemplateProcessing(
        single="<unk> $A <eos>", special_tokens=[("<unk>", 1), ("<eos>", 0)]
    )
    assert prompt_ids(adds_both, "abc") == [1, *prompt_ids(plain, "abc")]
    assert prompt_ids(adds_both, "<unk>abc") == prompt_ids(adds_both, "abc")  # a chat brings its own


def test_a_chat_is_asked_in_the_models_own_form(student: Path) -> None:
    engine = TransformersEngine(student)
    messages = (Message("system", "Be brief."), Message("user", "2 + 3?"))
    assert not engine.chats
    turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    engine._tokenizer.chat_template = turns
    assert engine.chats
    assert engine.chat(messages) == "<system>Be brief.\n<user>2 + 3?\n<assistant>"
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    engine._tokenizer.chat_template = refusing + turns
    assert engine.chat(messages) == "<user>Be brief.\n\n2 + 3?\n<assistant>"


@pytest.mark.parametrize(
    "damage", ["no folder", "no config", "no weights", "cut weights", "missing weight", "no tokenizer"]
)
def test_a_folder_that_is_not_a_model_is_named(student: Path, tmp_path: Path, damage: str) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "broken"
    if damage != "no folder":
        shutil.copytree(student, folder)
    weights = folder / "model.safetensors"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:500])
    elif damage == "missing weight":
        tensors = load_file(weights)
        del tensors["model.layers.1.mlp.up_proj.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    elif damage == "no tokenizer":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).unlink()
    with pytest.raises(StudentError, match="broken"):
        TransformersEngine(folder)
