"""Of a run in a bucket the best student is kept there: a machine that has nothing goes on and exports the same one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from training_jobs import MakeJob, sums

from pad_ray.records import Example
from pad_ray.storage import Storage
from pad_ray.train.checkpoint import KEEP
from pad_ray.train.held_out import HeldOut
from pad_ray.train.launch import run_training
from pad_ray.train.progress import MetricsLog, TrainProgress
from tests.storage.conftest import bucket, machine, s3_server  # noqa: F401

CURVE = (3.0, 1.0, 2.0, 2.5, 4.0)
"""Held-out losses, measurement by measurement: the second is the best, the fourth ends the training."""


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_best_student_is_fetched_from_the_bucket_by_another_machine(
    make_job: MakeJob,
    bucket: str,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"validation": 0.3, "validate_every": 0.5, "patience": 2, "checkpoint_s": 1e-9}
    job = replace(make_job(epochs=8, settings=settings), root=bucket)
    storage = Storage(bucket)
    storage.write_rows(job.mixture, Example, sums(40))
    monkeypatch.setattr(HeldOut, "loss", lambda self, engine: CURVE[sorted(self.due).index(engine.global_steps)])
    append = MetricsLog.append

    def appending(log: MetricsLog, progress: TrainProgress) -> None:
        append(log, progress)
        if progress.held_out == CURVE[2]:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "append", appending)
        with pytest.raises(KeyboardInterrupt):
            run_training(job, gpu=False)
    [best] = storage.published(f"{job.checkpoint}/best")
    weights = storage.read(f"{best}/model.safetensors")

    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "another machine"))
    result = run_training(job, gpu=False)
    assert not isinstance(result, Exception), result
    found = json.loads(storage.read(f"{job.checkpoint}/summary.json"))["validation"]
    assert (found["best_loss"], found["stopped_early"]) == (1.0, True)
    assert best.endswith(f"step-{found['best_step']:08d}")
    assert storage.read(f"{job.student}/model.safetensors") == weights
    assert not storage.exists(f"{job.checkpoint}/best")
    assert len(storage.published(f"{job.checkpoint}/state")) == KEEP
    assert storage.exists(f"{job.checkpoint}/tensorboard")
