"""Kills: of a whole one-worker run, and of one of two workers; what was saved is not done again, nothing is lost."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from training_jobs import MakeJob

from pad_ray.storage import Storage
from pad_ray.train.launch import TrainJob, finished, run_training, train
from pad_ray.train.progress import TrainProgress, last_progress, read_metrics

pytestmark = pytest.mark.slow

DRIVER = """
import pickle, sys
from pad_ray.flow.cluster import connect
from pad_ray.train.launch import train
with connect([{'train': 1}]):
    train(pickle.load(open(sys.argv[1], "rb")))
assert "torch" not in sys.modules, "the driver needs no torch"
"""


def wait_until(happened: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all processes below this one, by process id."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                names[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])

    def below(child: int) -> bool:
        while child in parents and child != pid:
            child = parents[child]
        return child == pid

    return {child: name for child, name in names.items() if child != pid and below(child)}


def metrics(job: TrainJob) -> Path:
    return Path(job.root) / job.checkpoint / "metrics.jsonl"


def command(job: TrainJob) -> list[str]:
    """Runs the job in a driver of its own, with a Ray of its own."""
    pickled = Path(job.root) / "job.pickle"
    pickled.write_bytes(pickle.dumps(job))
    return [sys.executable, "-c", DRIVER, str(pickled)]


@pytest.mark.long
def test_a_run_killed_in_training_goes_on_from_its_last_state(make_job: MakeJob) -> None:
    job = make_job(epochs=60, settings={"checkpoint_s": 0.5})
    driver = subprocess.Popen(command(job))
    states = Path(job.root) / job.checkpoint / "state"
    wait_until(lambda: list(states.glob("step-*")) or driver.poll() is not None)
    children = descendants(driver.pid)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL, "it was to be killed in the middle"
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    progress = last_progress(metrics(job))
    assert progress
    assert progress.step < progress.steps

    subprocess.run(command(job), check=True)
    lines = read_metrics(metrics(job))
    assert [line.step for line in lines] == list(range(1, progress.steps + 1))
    assert lines[-1].loss < 0.3 * lines[0].loss
    assert finished(Storage(job.root), job.checkpoint)


@pytest.mark.long
@pytest.mark.usefixtures("ray_session", "one_thread")
@pytest.mark.parametrize("stage", [2, 3])
def test_two_workers_survive_the_death_of_one_and_learn_what_one_worker_learns(make_job: MakeJob, stage: int) -> None:
    alone = make_job("alone", epochs=30)
    assert not isinstance(run_training(alone, gpu=False), Exception)
    killed: list[int] = []

    def kill_one(progress: TrainProgress) -> None:
        if progress.step > 20 and not killed:
            workers = [pid for pid, name in descendants(os.getpid()).items() if "RayTrainWorker" in name]
            killed.append(workers[-1])
            os.kill(workers[-1], signal.SIGKILL)

    job = make_job("together", epochs=30, settings={"workers": 2, "zero_stage": stage, "checkpoint_s": 1})
    checkpoint = train(job, kill_one)
    assert killed, "the death was to happen in the middle"
    together, single = read_metrics(metrics(job)), read_metrics(metrics(alone))
    assert [line.step for line in together] == [line.step for line in single] == list(range(1, checkpoint.steps + 1))
    assert [line.tokens for line in together] == [line.tokens for line in single]
    assert [line.loss for line in together[:50]] == pytest.approx([line.loss for line in single[:50]], rel=1e-2)
    assert checkpoint.loss == pytest.approx(single[-1].loss, rel=0.2)
    student = Path(job.root) / job.student
    assert {path.name for path in student.iterdir()} >= {"model.safetensors", "config.json", "pad_ray.json"}
    assert json.loads((student.parent / "checkpoint" / "summary.json").read_text())["workers"] == 2
