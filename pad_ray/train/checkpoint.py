"""Training state: weights, optimizer, and how far we are; what a killed training resumes from.

It fits any number of workers: a training that was stopped may go on with more or fewer of them.

Several workers hand their shards to Ray Train, which keeps them in its storage path. A single worker saves into the
checkpoint folder itself: Ray Train's local mode copies nothing. Both upload a state while the training goes on.

The best student so far, where one is wanted, lies beside the states under the number of its step. It goes only when a
state that names a better one is safe, so whatever state a training resumes from finds the student it names.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch

from pad_ray.errors import StorageError, TrainError
from pad_ray.storage import Storage
from pad_ray.train.reshard import load_state
from pad_ray.train.saved import newest_state, saved_states

KEEP = 2
"""States kept, so that one that cannot be read is not the end."""

_TAG = "deepspeed"


@dataclass(frozen=True, slots=True)
class State:
    """How far a training is; the arrays are DeepSpeed's."""

    plan: str
    """Fingerprint of the examples, the settings and the order."""
    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Completion tokens so far."""
    seconds: float = 0.0
    """Time trained so far."""
    best_step: int = 0
    """The step with the lowest held-out loss; 0 where none was measured."""
    best_loss: float = math.inf
    """That loss, in nats per completion token."""
    waited: int = 0
    """Measurements since then."""


class States:
    """The saved states of one training, and its metrics file, which is never behind them."""

    def __init__(self, storage: Storage, checkpoint: str) -> None:
        self._storage, self._checkpoint = storage, checkpoint
        self._folder = storage.path(checkpoint)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._upload: threading.Thread | None = None
        self._shard: Path | None = None
        self._failure: StorageError | None = None

    def metrics(self) -> Path:
        """The metrics file as it was when the training last stopped."""
        name = f"{self._checkpoint}/metrics.jsonl"
        return self._storage.fetch(name) if self._storage.exists(name) else self._storage.path(name)

    def save(self, engine: Any, state: State) -> None:
        """Save the state; every worker calls this at the same step. A reader sees a whole state or none."""
        if engine.global_rank == 0:
            self._storage.publish(f"{self._checkpoint}/metrics.jsonl")
        if engine.world_size > 1:
            while self._shard and self._shard.exists():
                time.sleep(0.1)  # so that no more than one waits on the disk, however slow the storage is
            self._shard = Path(tempfile.mkdtemp(dir=self._folder, prefix=".shard-"))
            _save(engine, str(self._shard), state)
            ray.train.report(
                {"step": state.step},
                checkpoint=ray.train.Checkpoint.from_directory(self._shard),
                # Ray removes the folder when it is uploaded, and ends the training if it cannot be.
                checkpoint_upload_mode=ray.train.CheckpointUploadMode.ASYNC,
                delete_local_checkpoint_after_upload=True,
            )
            if engine.global_rank == 0 and self._worse(state):
                ray.train.get_all_reported_checkpoints()  # returns when Ray Train would resume from this state
                self._forget_worse(state)
            return
        states = self._folder / "state"
        states.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=states, prefix=".saving-"))
        _save(engine, str(temporary), state)
        self.settle()
        final = states / f"step-{state.step:08d}"
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        for leftover in states.glob(".saving-*"):
            shutil.rmtree(leftover)
        self._upload = threading.Thread(target=self._publish, args=(final.name, state), name="state")
        self._upload.start()

    def settle(self) -> None:
        """Wait until the last state is where it belongs. Raises StorageError if it could not be brought there."""
        if self._upload:
            self._upload.join()
        if self._failure:
            raise self._failure

    def load(self, engine: Any, plan: str) -> State:
        """Load the newest state into the engine; a fresh State where there is none.

        Raises TrainError when the state belongs to another plan.
        """
        if engine.global_rank == 0:
            for leftover in self._folder.glob(".shard-*"):  # of workers that were killed while they saved
                shutil.rmtree(leftover)
        found = [newest_state(self._storage, self._checkpoint)]
        if engine.world_size > 1:
            torch.distributed.broadcast_object_list(found)  # one looks, so that all take the same
        return _load(engine, self._storage.fetch(found[0][1]), plan) if found[0] else State(plan)

    def best(self, state: State) -> str:
        """Folder of the best student that a state knows of."""
        return f"{self._checkpoint}/best/step-{state.best_step:08d}"

    def check_best(self, state: State, first: bool) -> None:
        """Every worker calls this with the state it resumes from; the first one removes students it does not name.

        Raises TrainError when the one it names is gone.
        """
        there = self._storage.published(f"{self._checkpoint}/best")
        if state.best_step and self.best(state) not in there:
            raise TrainError(
                f"the best student so far, {self._storage.where(self.best(state))}, is gone.",
                hint=f"Delete {self._storage.where(self._checkpoint)} to train from the start.",
            )
        for name in there:
            if first and name != self.best(state):
                self._storage.delete(name)

    def take_best(self, state: State, student: str) -> None:
        """Make the best student the student of the round; the first worker calls this, after the last step."""
        source, folder = self._storage.fetch(self.best(state)), self._storage.path(student)
        temporary = folder.with_name(f".{folder.name}-best")
        for old in (temporary, folder):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(source, temporary)
        temporary.rename(folder)

    def forget_best(self) -> None:
        """Remove the best student; it is the student of the round now."""
        self._storage.delete(f"{self._checkpoint}/best")

    def _worse(self, state: State) -> list[str]:
        # A later one belongs to a state that is still to come.
        return [name for name in self._storage.published(f"{self._checkpoint}/best") if name < self.best(state)]

    def _forget_worse(self, state: State) -> None:
        for name in self._worse(state):
            self._storage.delete(name)

    def _publish(self, name: str, state: State) -> None:
        try:
            self._storage.publish(f"{self._checkpoint}/state/{name}")
            for old in saved_states(self._storage, self._checkpoint)[:-KEEP]:
                self._storage.delete(old)
            self._forget_worse(state)
        except StorageError as error:
            self._failure = error


def _save(engine: Any, folder: str, state: State) -> None:
    client = {"pad_ray": asdict(state)}
    # What is not trained comes from the student that the training began with.
    engine.save_checkpoint(folder, tag=_TAG, client_state=client, exclude_frozen_parameters=True)


def _load(engine: Any, source: Path, plan: str) -> State:
    loaded, client = load_state(engine, source, _TAG)
    if loaded is None:
        raise TrainError(f"the training state in {source} cannot be read.", hint="Delete this folder and run again.")
    state = State(**client["pad_ray"])
    if state.plan != plan:
        raise TrainError(
            f"the training state in {source} belongs to other examples or settings than this training.",
            hint="Delete it to train from the start.",
        )
    return state
