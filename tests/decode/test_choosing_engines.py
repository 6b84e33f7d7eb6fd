"""Which engine decodes a student: the one that is named, or the one that suits machine and student."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray.decode.loading import fitting_engine, load_engine
from pad_ray.decode.scoring import load_scorer
from pad_ray.decode.transformers_engine import TransformersEngine
from pad_ray.errors import StudentError, UsageError
from pad_ray.recipe import Decode
from tests.decode.byte_student import PAIRS, make_byte_student, own_cache


def machine(patch: pytest.MonkeyPatch, *, gpu: bool = False, llama_cpp: bool = True) -> None:
    patch.setattr("torch.cuda.is_available", lambda: gpu)
    patch.setattr("pad_ray.decode.llama_cpp_engine.has_llama_cpp", lambda: llama_cpp)


def test_auto_takes_llama_cpp_where_a_cpu_decodes_one_prompt_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = make_byte_student(tmp_path / "bytes", trained=False)
    machine(monkeypatch)
    assert fitting_engine(student, 1) == "llama_cpp"
    assert fitting_engine(student, 8) == "transformers"
    for other in ({"gpu": True}, {"llama_cpp": False}):
        machine(monkeypatch, **other)
        assert fitting_engine(student, 1) == "transformers"
    machine(monkeypatch)
    for unfit in (make_tiny_student(tmp_path / "characters"), make_tiny_encoder_decoder(tmp_path / "t5")):
        assert fitting_engine(unfit, 1) == "transformers"


def test_the_engine_that_is_named_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xllamacpp")
    machine(monkeypatch)
    student = make_byte_student(tmp_path / "student")
    assert type(load_engine(student)) is TransformersEngine
    with own_cache(tmp_path / "cache"):
        for engine in (load_engine(student, "llama_cpp", threads=1), load_engine(student, "auto", batch_size=1)):
            [one] = engine.generate([PAIRS[0][0]], max_tokens=60, temperature=0, seed=0)
            assert one.text == PAIRS[0][1]
            assert type(engine).__name__ == "LlamaCppEngine"
            with pytest.raises(StudentError, match="only transformers shows them"):
                load_scorer(Decode(kind="beam", scorer="verifier"), engine)
    with pytest.raises(UsageError, match="engine: 'ollama' is not transformers, llama_cpp, vllm or auto"):
        load_engine(student, "ollama")
