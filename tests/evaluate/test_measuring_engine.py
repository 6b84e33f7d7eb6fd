"""An evaluation decodes with the engine that it names, and its summary says so where it is not the usual one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.evaluate import run
from pad_ray.evaluate.job import EvaluateJob, finished, summary_of
from pad_ray.recipe import Decode, EngineName, SandboxSettings
from pad_ray.records import Problem
from tests.decode.byte_student import make_byte_student, own_cache


def test_another_engine_answers_and_is_named(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    student = make_byte_student(tmp_path / "student")
    problems = [Problem("a", "seven?", "7"), Problem("b", "what is two and three, please?", "5")]

    def measured(engine: EngineName) -> EvaluateJob:
        job = EvaluateJob(
            root=str(tmp_path),
            problems="none",
            student=str(student),
            out=engine,
            decode=Decode(max_tokens=40),
            sandbox=SandboxSettings(),
            engine=engine,
        )
        assert len(list(run._evaluate_here([(job, problems)]))) >= 2
        return job

    with own_cache(tmp_path / "cache"):
        usual, other = measured("transformers"), measured("llama_cpp")
    said, told = summary_of(usual), summary_of(other)
    assert "engine" not in said and told["engine"] == "llama_cpp"
    assert finished(other, problems) == told
    assert said["n"] == told["n"] == 2
