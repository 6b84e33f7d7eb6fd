"""A student is exported with what asks its sub-questions, in a folder or a bucket, whichever of its states is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from training_jobs import MakeJob, sums

from pad_ray.records import Example
from pad_ray.storage import Storage, local_copy
from pad_ray.train.launch import run_training
from tests.storage.conftest import bucket, machine, s3_server  # noqa: F401

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def examples() -> list[Example]:
    """Every fourth teaches to ask."""
    return [replace(one, task="answer" if number % 4 else "decompose") for number, one in enumerate(sums(40))]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_both_parts_are_exported_and_fetched_as_one(
    make_job: MakeJob,
    bucket: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = {"format_version": 1, "thought": "socratic", "decomposer": "decomposer"}
    for root, settings in ((str(tmp_path / "run"), {}), (bucket, {"validation": 0.3, "patience": 2})):
        solving = make_job(epochs=1, examples=examples(), settings=settings, task="answer", card=card)
        asking = replace(
            solving, task="decompose", card={}, checkpoint="round-0/decomposer", student="round-0/decomposer/student"
        )
        storage = Storage(root)
        for job in (asking, replace(solving, decomposer=storage.uri(asking.student))):
            job = replace(job, root=root)
            storage.write_rows(job.mixture, Example, examples())
            result = run_training(job, gpu=False)
            assert not isinstance(result, Exception), result
            summary = json.loads(storage.read(f"{job.checkpoint}/summary.json"))
            held_out = summary["validation"]["examples"] if settings else 0
            assert summary["examples"] + held_out == (30 if job.decomposer else 10)
        monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "another machine"))
        for fetched, part in (("round-0/student", "decomposer"), ("round-0/student/decomposer", ".")):
            copy = local_copy(storage.uri(fetched))
            for name in FILES:
                assert (copy / part / name).read_bytes() == storage.read(f"{asking.student}/{name}")
        assert storage.read("round-0/student/model.safetensors") != storage.read(f"{asking.student}/model.safetensors")
