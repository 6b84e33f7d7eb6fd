"""A training that the disk has no room for does not begin; what it says it needs is what it takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_jobs import MakeJob

from pad_ray.errors import TrainError
from pad_ray.recipe_train import Train
from pad_ray.train.checkpoint import KEEP
from pad_ray.train.disk import Sizes, bytes_needed, size
from pad_ray.train.launch import TrainJob, run_training

pytestmark = pytest.mark.usefixtures("one_thread")


def free(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=count))


def taken(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def parameters(job: TrainJob) -> int:
    from safetensors import safe_open

    with safe_open(Path(job.root) / job.student / "model.safetensors", "pt") as file:
        return sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize(
    ("stage", "precision"), [(0, "fp32"), (2, "fp32"), (3, "fp32"), (0, "bf16"), (2, "bf16"), (3, "bf16")]
)
def test_the_estimate_is_what_states_and_student_take(make_job: MakeJob, stage: int, precision: str) -> None:
    job = make_job(settings={"zero_stage": stage, "precision": precision, "checkpoint_s": 1e-9, "max_steps": 3})
    result = run_training(job, gpu=False)
    assert not isinstance(result, Exception), result
    states, students = bytes_needed(Sizes(parameters(job), parameters(job)), job.settings, best=False).values()
    root = Path(job.root)
    # Beside the arrays there are names, shapes and, of a student, its tokenizer.
    assert taken(root / job.checkpoint / "state") / KEEP == pytest.approx(states / (KEEP + 1), rel=0.15)
    assert (root / job.student / "model.safetensors").stat().st_size == pytest.approx(students, rel=0.05)


def test_too_little_room_is_told_with_what_is_needed_what_is_free_and_what_to_do(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(settings={"validation": 0.2, "patience": 3})
    free(1_000_000, monkeypatch)
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    said = str(error)
    assert "too little room on the disk of" in said and job.checkpoint in said
    assert "3 training states" in said and "2 exported students" in said
    assert "1 MB are free" in said
    assert "Free 2" in said and "--run-dir" in said
    assert not (Path(job.root) / job.checkpoint / "metrics.jsonl").exists(), "no step was taken"
    free(10_000_000, monkeypatch)
    assert not isinstance(run_training(job, gpu=False), Exception)


def test_what_an_earlier_call_wrote_is_not_asked_for_again(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    run_training(job, gpu=False)
    (Path(job.root) / job.checkpoint / "summary.json").unlink()
    there = taken(Path(job.root) / job.checkpoint / "state")
    needed = sum(bytes_needed(Sizes(parameters(job), parameters(job)), job.settings, best=False).values())
    free(needed - there, monkeypatch)
    assert not isinstance(run_training(job, gpu=False), Exception)
    free(needed - 3 * there, monkeypatch)
    assert isinstance(run_training(job, gpu=False), TrainError)


@pytest.mark.parametrize(
    ("settings", "states"), [({}, "3 training states"), ({"workers": 2, "zero_stage": 2}, "4 training states")]
)
def test_a_worker_groups_state_is_on_the_disk_once_more(settings: dict[str, Any], states: str) -> None:
    assert states in bytes_needed(Sizes(1000, 1000), Train(**settings), best=False)


def test_sizes_are_written_for_people() -> None:
    assert [size(count) for count in (12, 3_400, 2_500_000, 2_147_483_648, 5e12)] == [
        "12 bytes",
        "3.4 kB",
        "2.5 MB",
        "2.1 GB",
        "5,000.0 GB",
    ]
