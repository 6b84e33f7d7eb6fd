"""llama.cpp behind the same interface: it writes what the engine of transformers writes, and tells the same of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pad_ray.decode.engine import Completion
from pad_ray.decode.llama_cpp_engine import LlamaCppEngine
from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.errors import PadRayError, StudentError
from pad_ray.students.gguf_export import CUTS
from tests.decode.byte_student import PAIRS, PROMPTS, TEXTS, make_byte_student, own_cache

pytest.importorskip("xllamacpp")

GREEDY: dict[str, Any] = {"max_tokens": 60, "temperature": 0, "seed": 0}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with own_cache(tmp_path_factory.mktemp("cache")):
        yield make_byte_student(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="module")
def engine(student: Path) -> Iterator[LlamaCppEngine]:
    engine = LlamaCppEngine(student, batch_size=4, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def other(student: Path) -> TransformersEngine:
    return TransformersEngine(student, batch_size=4)


def close(one: Completion, other: Completion) -> bool:
    """Whether two completions are the same, up to the rounding of half precision."""
    return one == other and one.logprobs == pytest.approx(other.logprobs, abs=0.02)


def test_greedy_decoding_writes_the_same_tokens_and_tells_the_same_probabilities(
    engine: LlamaCppEngine, other: TransformersEngine
) -> None:
    # A bird is several tokens, none of them a character.
    ours, theirs = engine.generate(PROMPTS, **GREEDY), other.generate(PROMPTS, **GREEDY)
    assert [one.text for one in ours] == [text for _, text in PAIRS]
    assert all(map(close, ours, theirs))
    for limit in (1, 2, 5):
        cut = [engine.generate(PROMPTS, **(GREEDY | {"max_tokens": limit})) for engine in (engine, other)]
        assert all(map(close, *cut))


def test_the_stop_text_ends_a_completion_and_all_its_tokens_are_told(
    engine: LlamaCppEngine, other: TransformersEngine
) -> None:
    for stop in ("Question:", "\n", "r", "!"):
        ours, theirs = engine.generate(PROMPTS, **GREEDY, stop=stop), other.generate(PROMPTS, **GREEDY, stop=stop)
        assert all(map(close, ours, theirs))
    [line] = engine.generate(PROMPTS[:1], **GREEDY, stop="\n")
    assert (line.text, line.at_stop, line.finish_reason) == ("def solution():", True, "stop")


def test_it_goes_on_behind_what_was_written(engine: LlamaCppEngine, other: TransformersEngine) -> None:
    whole = engine.generate(PROMPTS, **GREEDY)
    written = [one.tokens[: min(1 + place, len(one.tokens) - 1)] for place, one in enumerate(whole)]
    ours = engine.generate(PROMPTS, **GREEDY, written=written)
    assert [(*before, *one.tokens) for before, one in zip(written, ours, strict=True)] == [one.tokens for one in whole]
    assert all(map(close, ours, other.generate(PROMPTS, **GREEDY, written=written)))
    [later] = engine.generate(PROMPTS[:1], **GREEDY, stop="def", written=[whole[0].tokens[:-1]])
    assert later.text == whole[0].text and not later.at_stop


def test_a_sample_depends_on_its_prompt_and_seed(engine: LlamaCppEngine, other: TransformersEngine) -> None:
    def sample(seed: int | list[int], prompts: list[str], temperature: float = 1.5) -> list[str]:
        return [c.text for c in engine.generate(prompts, max_tokens=12, temperature=temperature, seed=seed)]

    asked = ["zz"] * 6
    assert sample(1, asked) == sample(1, asked)
    assert sample(1, asked) != sample(2, asked)
    assert len(set(sample(1, asked))) > 1
    assert sample([7, 8], ["zz", "one\n"]) == [sample([7], ["zz"])[0], sample([8], ["one\n"])[0]]
    assert sample([7 + 2**40], ["zz"]) != sample([7], ["zz"])  # no bit of a seed is lost


def test_samples_follow_the_models_distribution(engine: LlamaCppEngine, other: TransformersEngine) -> None:
    import torch

    drawn = engine.generate(["zz"] * 400, max_tokens=1, temperature=2.0, seed=5)
    with torch.inference_mode():
        expected = torch.softmax(other.model(input_ids=torch.tensor([other.ids("zz")])).logits[0, -1] / 2, -1)
    likeliest = int(expected.argmax())
    seen = sum(one.tokens[0] == likeliest for one in drawn) / len(drawn)
    assert seen == pytest.approx(float(expected[likeliest]), abs=0.08)


def test_limits_and_what_cannot_be_asked(engine: LlamaCppEngine) -> None:
    full, fits = engine.generate(["x" * 300, PROMPTS[0]], **GREEDY)
    assert (full.text, full.finish_reason, full.completion_tokens) == ("", "length", 0)
    assert fits.text == PAIRS[0][1]
    assert engine.generate([], **GREEDY) == []
    with pytest.raises(ValueError, match=r"prompts\[1\] is empty"):
        engine.generate(["Q:", ""], **GREEDY)
    with pytest.raises(ValueError, match="2 seeds for 1 prompts"):
        engine.generate(["Q:"], max_tokens=1, temperature=1, seed=[1, 2])


def test_a_server_that_was_killed_is_started_again(engine: LlamaCppEngine) -> None:
    engine._process.kill()
    engine._process.wait()
    assert engine.generate(PROMPTS[:1], **GREEDY)[0].text == PAIRS[0][1]
    client, engine._client = engine._client, engine._client.__class__(base_url="http://127.0.0.1:9")
    with pytest.raises(PadRayError, match=r"llama\.cpp has ended"):
        engine.generate(PROMPTS[:1], **GREEDY)
    engine._client = client


@pytest.mark.parametrize("cut", CUTS)
def test_llama_cpp_cuts_texts_into_the_same_tokens(cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "cache"))
    rope = {"rope_theta": 1e4, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    turned = {"rope_parameters": rope | {"original_max_position_embeddings": 32}, "context": 256}
    student = make_byte_student(tmp_path / "student", cut=cut, **(turned if cut == "llama-bpe" else {}))
    engine, other = LlamaCppEngine(student, batch_size=2, threads=1), TransformersEngine(student)
    for text in (*TEXTS, "a 12345 +67.5==x's  \n\n\n\t tab's 🦆é IT'S <eos>\r\n "):
        told = engine._client.post("/tokenize", json={"content": text, "parse_special": True}).json()["tokens"]
        assert told == other.ids(text)
    assert all(map(close, engine.generate(PROMPTS, **GREEDY), other.generate(PROMPTS, **GREEDY)))
    far = ["".join(PROMPTS) + PROMPTS[0]]  # where llama3's rotation is another than the usual one
    assert all(map(close, engine.generate(far, **GREEDY), other.generate(far, **GREEDY)))
    engine.close()


def test_without_the_package_a_sentence_says_how_to_get_it(student: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pad_ray.decode.llama_cpp_engine.has_llama_cpp", lambda: False)
    with pytest.raises(StudentError, match=r"pip install 'pad-ray\[llama_cpp\]'"):
        LlamaCppEngine(student)
