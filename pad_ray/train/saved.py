"""Which states of a training there are. Reading this needs neither torch nor Ray."""

from __future__ import annotations

import json

from pad_ray.storage import Storage

_SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Where Ray Train writes which states of a worker group are whole."""


def saved_states(storage: Storage, checkpoint: str) -> list[str]:
    """Names of the whole states that a single worker saved, the newest last."""
    return storage.published(f"{checkpoint}/state")


def newest_state(storage: Storage, checkpoint: str) -> tuple[int, str] | None:
    """Step and name of the newest whole state of a training, whether one worker saved it or a group."""
    states = {int(name.rpartition("step-")[2]): name for name in saved_states(storage, checkpoint)}
    snapshot = storage.get(f"{checkpoint}/ray/{_SNAPSHOT}")
    if snapshot and (latest := json.loads(snapshot)["latest_checkpoint_result"]):
        states[latest["metrics"]["step"]] = f"{checkpoint}/ray/{latest['checkpoint_dir_name']}"
    return max(states.items(), default=None)
