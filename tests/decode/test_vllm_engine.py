"""vLLM is not installed here: what is said to it is held against its own names, what it says is read as it says it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray.decode.vllm_actor import VllmActor, engine_settings, row, sampling
from pad_ray.decode.vllm_engine import VllmEngine, environment
from pad_ray.errors import StudentError

# From vllm/sampling_params.py, vllm/engine/arg_utils.py and vllm/entrypoints/llm.py of release 0.33.
SAMPLING = {"max_tokens", "temperature", "seed", "stop", "stop_token_ids", "logprobs", "detokenize", "n", "top_p"}
ENGINE = {"model", "max_num_seqs", "enable_prefix_caching", "logprobs_mode", "generation_config", "dtype"}


@dataclass
class Told:
    """An output as `RequestOutput.outputs` holds them."""

    token_ids: tuple[int, ...]
    finish_reason: str
    stop_reason: int | str | None = None
    logprobs: list[dict[int, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.logprobs = [{token: SimpleNamespace(logprob=-token / 8), 99: None} for token in self.token_ids]


class Llm:
    """Answers like `vllm.LLM`, each prompt with what `replies` holds for its last token."""

    replies: dict[int, Told]
    asked: list[tuple[list[int], dict[str, Any]]]

    def __init__(self, **settings: Any) -> None:
        assert set(settings) <= ENGINE
        Llm.asked = []

    def generate(self, prompts: list[Any], sampling_params: list[Any], *, use_tqdm: bool) -> list[Any]:
        Llm.asked += [(one["prompt_token_ids"], said) for one, said in zip(prompts, sampling_params, strict=True)]
        return [SimpleNamespace(outputs=[self.replies[one["prompt_token_ids"][-1]]]) for one in prompts]


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Llm]]:
    module: Any = ModuleType("vllm")
    module.LLM, module.SamplingParams = Llm, lambda **said: said
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setattr("pad_ray.decode.vllm_engine._start", lambda folder, size: Local(VllmActor(folder, size)))
    monkeypatch.setattr("ray.get", lambda value: value)
    yield Llm


class Local:
    """An actor in this process."""

    def __init__(self, actor: VllmActor) -> None:
        self.generate = SimpleNamespace(remote=actor.generate)


def test_only_names_that_vllm_knows_are_used() -> None:
    assert set(sampling(8, 0.7, 3, "\n", [0])) <= SAMPLING
    assert set(engine_settings(16)) <= ENGINE
    assert environment()["pip"]["packages"] == ["vllm==0.33.0"]


def test_why_a_completion_ended_is_read_from_its_reasons() -> None:
    def read(told: Told) -> dict[str, Any]:
        return row(SimpleNamespace(outputs=[told]))

    assert read(Told((3, 4), "length")) == {
        "tokens": [3, 4],
        "logprobs": [-3 / 8, -4 / 8],
        "stopped": False,
        "at_stop": False,
    }
    ends = [read(Told((3,), "stop", reason)) for reason in (None, 2, "\n")]
    assert [(end["stopped"], end["at_stop"]) for end in ends] == [(True, False), (True, False), (True, True)]


def test_token_ids_go_in_and_completions_come_out(tmp_path: Path, vllm: type[Llm]) -> None:
    engine = VllmEngine(make_tiny_student(tmp_path, context=16))
    [a, b, c], stop = engine.ids("abc"), engine.ids("\n")
    vllm.replies = {b: Told((c, *stop), "stop", "\n"), c: Told((a, 0), "stop")}
    first, full, second = engine.generate(
        ["ab", "x" * 20, "a"], max_tokens=9, temperature=0.7, seed=[5, 6, 7], stop="\n", written=[[], [], [b, c]]
    )
    assert (first.text, first.at_stop, first.finish_reason) == ("c", True, "stop")
    assert first.tokens == (c, *stop) and first.logprobs == (-c / 8, -stop[0] / 8)
    assert (full.text, full.finish_reason, full.completion_tokens) == ("", "length", 0)
    assert (second.text, second.at_stop, second.prompt_tokens, second.completion_tokens) == ("bca", False, 1, 2)
    assert [ids for ids, _ in vllm.asked] == [[a, b], [a, b, c]]
    settings = [said for _, said in vllm.asked]
    assert [said["max_tokens"] for said in settings] == [9, 9]
    assert settings[0]["stop"] == ["\n"] and settings[0]["stop_token_ids"] == [0]
    engine.generate(["ab"], max_tokens=9, temperature=0.7, seed=[5], stop="\n")
    assert vllm.asked[-1][1]["seed"] == settings[0]["seed"] != settings[1]["seed"]


def test_without_cluster_gpu_or_a_fitting_student_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = make_tiny_student(tmp_path / "student")
    with pytest.raises(StudentError, match="has an encoder"):
        VllmEngine(make_tiny_encoder_decoder(tmp_path / "t5"))
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(StudentError, match="no cluster is connected here"):
        VllmEngine(student)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.cluster_resources", dict)
    with pytest.raises(StudentError, match="the cluster has none now"):
        VllmEngine(student)
