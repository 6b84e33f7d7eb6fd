"""A training that was stopped goes on with another number of workers, and ends as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_training_run import run, steps, stop_after
from training_jobs import MakeJob

from pad_ray.recipe import Recipe
from pad_ray.recipe_train import Train
from pad_ray.storage import Storage
from pad_ray.train.encode import Encoding
from pad_ray.train.launch import TrainJob, steps_done
from pad_ray.train.loop import fingerprint
from pad_ray.train.saved import newest_state

pytestmark = pytest.mark.usefixtures("one_thread")


def with_workers(job: TrainJob, workers: int, **settings: Any) -> TrainJob:
    return replace(job, settings=job.settings.model_copy(update={"workers": workers, **settings}))


def test_the_number_of_workers_binds_neither_a_training_nor_a_run(make_job: MakeJob) -> None:
    job = make_job()
    assert fingerprint(job, Encoding((), 0)) == fingerprint(with_workers(job, 2), Encoding((), 0))
    tree: dict[str, Any] = {"name": "a", "problems": {"train": "a.jsonl"}, "student": {"model": "somewhere"}}
    assert Recipe(**tree).hash() == Recipe(**tree, train=Train(workers=2)).hash()


def test_the_newest_state_counts_whoever_saved_it(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert newest_state(storage, "checkpoint") is None
    (tmp_path / "checkpoint/state/step-00000007").mkdir(parents=True)
    assert newest_state(storage, "checkpoint") == (7, "checkpoint/state/step-00000007")
    latest = {"checkpoint_dir_name": "checkpoint_b", "metrics": {"step": 9}}
    snapshot = "checkpoint/ray/checkpoint_manager_snapshot.json"
    storage.write(snapshot, json.dumps({"latest_checkpoint_result": latest}).encode())
    assert newest_state(storage, "checkpoint") == (9, "checkpoint/ray/checkpoint_b")
    assert steps_done(storage, "checkpoint") == 9
    (tmp_path / "checkpoint/state/step-00000011").mkdir()
    assert newest_state(storage, "checkpoint") == (11, "checkpoint/state/step-00000011")
    storage.write(snapshot, json.dumps({"latest_checkpoint_result": None}).encode())
    assert steps_done(storage, "checkpoint") == 11


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("before", "after", "stage", "precision"),
    [
        pytest.param(1, 2, 2, "fp32", marks=pytest.mark.long),
        (2, 1, 1, "fp32"),
        pytest.param(1, 2, 3, "fp32", marks=pytest.mark.long),
        pytest.param(2, 1, 3, "bf16", marks=pytest.mark.long),
        pytest.param(2, 1, 0, "fp32", marks=pytest.mark.long),
        pytest.param(2, 3, 2, "bf16", marks=pytest.mark.long),
    ],
)
def test_a_stopped_training_goes_on_with_another_number_of_workers(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, before: int, after: int, stage: int, precision: str
) -> None:
    settings = {"zero_stage": stage, "precision": precision}
    whole = make_job("whole", settings=settings)
    expected = run(whole)
    job = make_job("stopped", settings={**settings, "checkpoint_s": 1e-9})
    if before == 1:
        with monkeypatch.context() as patch:
            stop_after(5, patch)
            with pytest.raises(KeyboardInterrupt):
                run(job)
    else:
        stopped_group(with_workers(job, before), monkeypatch)
    done = steps_done(Storage(job.root), job.checkpoint)
    assert 0 < done < expected.steps
    checkpoint = run(with_workers(job, after, checkpoint_s=120))
    assert (checkpoint.steps, checkpoint.tokens) == (expected.steps, expected.tokens)
    assert [line.step for line in steps(job)] == list(range(1, expected.steps + 1))
    near = 2e-2 if precision == "bf16" else 1e-3
    assert [line.loss for line in steps(job)] == pytest.approx([line.loss for line in steps(whole)], rel=near)
    summary = json.loads((Path(job.root) / job.checkpoint / "summary.json").read_text())
    assert summary["workers"] == after


def stopped_group(job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with a worker group that is stopped, as by Ctrl-C, once it has saved a state."""
    from pad_ray.train.launch import train

    def stop(_: object) -> None:
        if steps_done(Storage(job.root), job.checkpoint) > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, stop)
