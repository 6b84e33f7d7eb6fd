"""Two workers, one of them killed, then everything: the best student is there whatever happened, and only that one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_training_killed import command, descendants, metrics, wait_until
from training_jobs import MakeJob, by_heart, plain_loss

from pad_ray.train.checkpoint import KEEP
from pad_ray.train.held_out import is_held_out
from pad_ray.train.launch import TrainJob, train
from pad_ray.train.progress import TrainProgress, read_metrics

pytestmark = [pytest.mark.slow, pytest.mark.long]

SETTINGS = {"validation": 0.3, "validate_every": 2.0, "patience": 3, "checkpoint_s": 1, "tracking": []}


def check(job: TrainJob) -> None:
    """The exported student is the one of the lowest held-out loss, and nothing else was left behind."""
    folder = Path(job.root) / job.checkpoint
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    lines, found = read_metrics(metrics(job)), summary["validation"]
    assert [line.step for line in lines] == list(range(1, summary["steps"] + 1))
    measured = {line.step: line.held_out for line in lines if line.held_out is not None}
    assert measured[found["best_step"]] == min(measured.values()) == pytest.approx(found["best_loss"], rel=1e-3)
    assert found["stopped_early"] and found["exported_step"] == found["best_step"] == list(measured)[-4]
    held = [example for example in by_heart(16) if is_held_out(example.problem_id, SETTINGS["validation"])]
    assert plain_loss(Path(job.root) / job.student, held) == pytest.approx(found["best_loss"], rel=1e-3)
    assert not (folder / "best").exists()
    states = [path for name in ("state", "ray") for path in (folder / name).glob("*") if path.is_dir()]
    assert len(states) <= KEEP and not list(folder.glob(".*"))


def test_a_run_killed_with_a_best_student_goes_on_from_it(make_job: MakeJob) -> None:
    job = make_job(examples=by_heart(16), epochs=200, settings=SETTINGS)
    driver = subprocess.Popen(command(job))
    best = Path(job.root) / job.checkpoint / "best"
    wait_until(lambda: list(best.glob("step-*")) or driver.poll() is not None)
    children = descendants(driver.pid)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, "it was to be killed in the middle"
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    subprocess.run(command(job), check=True)
    check(job)


@pytest.mark.usefixtures("ray_session")
def test_two_workers_of_which_one_dies_export_the_best_student(make_job: MakeJob) -> None:
    killed: list[int] = []

    def kill_one(progress: TrainProgress) -> None:
        if progress.held_out is not None and not killed:
            workers = [pid for pid, name in descendants(os.getpid()).items() if "RayTrainWorker" in name]
            killed.append(workers[-1])
            os.kill(workers[-1], signal.SIGKILL)

    job = make_job(examples=by_heart(16), epochs=200, settings={**SETTINGS, "workers": 2, "zero_stage": 3})
    train(job, kill_one)
    assert killed, "the death was to happen in the middle"
    check(job)
