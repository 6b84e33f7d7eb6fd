"""Two workers, one of them killed in the middle: each ZeRO stage, a causal student and an encoder-decoder one."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from from_memory import assert_writes_as_in_memory
from test_training_killed import descendants, metrics, wait_until
from test_training_run import run, steps
from training_jobs import MakeJob, sums

from pad_ray.train.launch import TrainJob
from pad_ray.train.progress import last_progress

EPOCHS = 20


def kill_a_worker_after(step: int, job: TrainJob, killed: list[int]) -> None:
    """Wait until the training has come so far, then kill one of its workers."""
    wait_until(lambda: (progress := last_progress(metrics(job))) and progress.step > step)
    killed += [pid for pid, name in descendants(os.getpid()).items() if "RayTrainWorker" in name][-1:]
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session", "one_thread", "written_from_memory")
@pytest.mark.parametrize(
    ("student", "stage"),
    [
        ("encoder_decoder", 2),
        *[pytest.param("encoder_decoder", stage, marks=pytest.mark.long) for stage in (1, 3)],
        *[pytest.param("causal", stage, marks=pytest.mark.long) for stage in (1, 2, 3)],
    ],
)
def test_two_workers_learn_though_one_is_killed_and_export_what_they_hold_in_memory(
    make_job: MakeJob, shape: Path, encoder_decoder: Path, student: str, stage: int
) -> None:
    model = str(encoder_decoder if student == "encoder_decoder" else shape)
    settings = {"workers": 2, "zero_stage": stage, "checkpoint_s": 1}
    job = make_job(model=model, init="pretrained", epochs=EPOCHS, lr=1e-2, settings=settings)
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_after, args=(20, job, killed))
    killer.start()
    checkpoint = run(job)
    killer.join()
    assert len(killed) == 1
    lines = steps(job)
    assert [line.step for line in lines] == list(range(1, checkpoint.steps + 1))
    assert lines[-1].steps == checkpoint.steps
    ends = 2 if student == "encoder_decoder" else 1  # its completions begin with a token of their own
    assert lines[-1].tokens == EPOCHS * sum(len(example.completion) + ends for example in sums(40))
    assert checkpoint.loss < 0.6 * lines[0].loss
    assert_writes_as_in_memory(job)
