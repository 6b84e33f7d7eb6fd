"""Two workers go on training while a state of theirs is still being uploaded."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from test_training_killed import metrics
from test_training_run import run, steps
from training_jobs import MakeJob

from pad_ray.storage import Storage
from pad_ray.train.progress import last_progress


class WaitingStorage(LocalFileSystem):
    """Takes a file of the first state only when the training has gone on since it was asked to."""

    cachable = False

    def __init__(self, log: str) -> None:
        super().__init__()
        self.log = log

    def _open(self, path: str, mode: str = "rb", *rest: Any, **more: Any) -> Any:
        went_on = Path(self.log).with_name("went_on")
        if "w" in mode and path.endswith(".pt") and not went_on.exists():
            before, deadline = self._step(), time.monotonic() + 60
            while self._step() == before:
                if time.monotonic() > deadline:
                    raise OSError("the training waits for its upload")
                time.sleep(0.05)
            went_on.touch()
        return super()._open(path, mode, *rest, **more)

    def _step(self) -> int:
        progress = last_progress(Path(self.log))
        return progress.step if progress else 0


@pytest.fixture
def waiting_storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """States of worker groups go through a WaitingStorage."""
    from ray import cloudpickle

    def arrow(storage: Storage, name: str) -> tuple[str, Any]:
        log = storage.path(f"{name}/metrics.jsonl")
        return str(storage.path(name)), PyFileSystem(FSSpecHandler(WaitingStorage(str(log))))

    monkeypatch.setattr(Storage, "arrow", arrow)
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session", "one_thread", "waiting_storage")
def test_training_goes_on_while_a_state_is_uploaded(make_job: MakeJob) -> None:
    job = make_job(epochs=30, settings={"workers": 2, "zero_stage": 2, "checkpoint_s": 1})
    checkpoint = run(job)
    assert metrics(job).with_name("went_on").exists()
    assert [line.step for line in steps(job)] == list(range(1, checkpoint.steps + 1))
    assert not list((Path(job.root) / job.checkpoint).glob(".shard-*")), "what was uploaded is gone"
