"""Two workers go on training while a state of theirs is still being uploaded."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_training_run import run, steps
from training_jobs import MakeJob

from pad_ray.train import loop
from pad_ray.train.progress import last_progress


def with_a_slow_storage(config: dict[str, Any]) -> Any:
    """The training of a worker; the first state is taken only when the training has gone on since it was to be."""
    import ray.train

    folder = Path(config["job"].root) / config["job"].checkpoint
    there = Path(ray.train.get_context().get_storage().experiment_fs_path)
    report, went_on = ray.train.report, folder / "went_on"

    def step() -> int:
        progress = last_progress(folder / "metrics.jsonl")
        return progress.step if progress else 0

    def upload(checkpoint: Any, name: str) -> Any:
        before, deadline = step(), time.monotonic() + 60
        while not went_on.exists() and step() == before:
            if time.monotonic() > deadline:
                raise OSError("the training waits for its upload")
            time.sleep(0.05)
        went_on.touch()
        shutil.copytree(checkpoint.path, there / name, dirs_exist_ok=True)
        return ray.train.Checkpoint(str(there / name))

    ray.train.report = lambda metrics, **how: report(metrics, checkpoint_upload_fn=upload, **how)
    try:
        return config["loop"](config)
    finally:
        ray.train.report = report


@pytest.fixture
def slow_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings of this test have one."""
    from ray import cloudpickle

    train_loop, module = loop.train_loop, sys.modules[__name__]

    def training(config: dict[str, Any]) -> Any:
        return with_a_slow_storage({**config, "loop": train_loop})

    monkeypatch.setattr(loop, "train_loop", training)
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session", "one_thread", "slow_storage")
def test_training_goes_on_while_a_state_is_uploaded(make_job: MakeJob) -> None:
    job = make_job(epochs=30, settings={"workers": 2, "zero_stage": 2, "checkpoint_s": 1})
    checkpoint = run(job)
    folder = Path(job.root) / job.checkpoint
    assert (folder / "went_on").exists()
    assert [line.step for line in steps(job)] == list(range(1, checkpoint.steps + 1))
    assert not list(folder.glob(".shard-*")), "what was uploaded is gone"
