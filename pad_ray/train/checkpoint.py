"""Training state: weights, optimizer, and how far we are; what a killed training resumes from.

Several workers hand their shards to Ray Train, which keeps them in its storage path. A single worker saves into the
checkpoint folder itself: Ray Train's local mode copies nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray.train

from pad_ray.errors import TrainError

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


def save_state(engine: Any, folder: Path, state: State) -> None:
    """Save the state; every worker calls this at the same step. A reader sees a whole state or none."""
    if engine.world_size > 1:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".shard-") as shard:
            engine.save_checkpoint(shard, tag=_TAG, client_state={"pad_ray": asdict(state)})
            ray.train.report({"step": state.step}, checkpoint=ray.train.Checkpoint.from_directory(shard))
        return
    states = folder / "state"
    states.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=states, prefix=".saving-"))
    engine.save_checkpoint(str(temporary), tag=_TAG, client_state={"pad_ray": asdict(state)})
    final = states / f"step-{state.step:08d}"
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for old in _saved(folder)[:-KEEP]:
        shutil.rmtree(old)
    for leftover in states.glob(".saving-*"):
        shutil.rmtree(leftover)


def load_state(engine: Any, folder: Path, plan: str) -> State:
    """Load the newest state into the engine; a fresh State where there is none.

    Raises TrainError when the state belongs to another plan.
    """
    if engine.world_size > 1:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return State(plan)
        with checkpoint.as_directory() as shards:
            return _load(engine, Path(shards), plan)
    saved = _saved(folder)
    return _load(engine, saved[-1], plan) if saved else State(plan)


def _load(engine: Any, source: Path, plan: str) -> State:
    loaded, client = engine.load_checkpoint(str(source), tag=_TAG)
    if loaded is None:
        raise TrainError(f"the training state in {source} cannot be read.", hint="Delete this folder and run again.")
    state = State(**client["pad_ray"])
    if state.plan != plan:
        raise TrainError(
            f"the training state in {source} belongs to other examples or settings than this training.",
            hint="Delete it to train from the start.",
        )
    return state


def _saved(folder: Path) -> list[Path]:
    return sorted((folder / "state").glob("step-*"))
