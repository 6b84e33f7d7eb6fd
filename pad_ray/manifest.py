"""The manifest: what a run is and how far it got. It, and no framework's checkpoint, is the truth for resuming."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from pad_ray import __version__
from pad_ray.errors import RecipeError, StorageError
from pad_ray.storage import Storage

NAME = "manifest.json"
FORMAT_VERSION = 1
UNTOUCHED = "Choose another --run-dir; the finished rows of this one are untouched."
"""What to do about a run folder that cannot be gone on with."""

StageName = Literal["plan", "rewrite", "augment", "sample", "judge", "curate", "calibrate", "train", "evaluate"]


class Stage(BaseModel):
    """One stage of one round."""

    round: int
    """Refinement round; -1 is the untrained student (and the calibration)."""
    stage: StageName
    state: Literal["running", "partial", "done"] = "running"
    new: int = 0
    """Rows (requests, samples, examples), optimizer steps or answers made by the latest call."""
    reused: int = 0
    """Those that were there before it."""
    seconds: float = 0.0
    """Time the stage took, over all calls."""
    counts: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What the stage wants remembered: outcomes, yields, spend, accuracy."""


class Manifest(BaseModel):
    """The content of manifest.json."""

    format_version: int = FORMAT_VERSION
    run_id: str = Field(default_factory=lambda: secrets.token_hex(6))
    recipe_hash: str
    version: str = __version__
    state: Literal["running", "partial", "done", "failed", "stopped", "interrupted"] = "running"
    error: str = ""
    """The sentence that a failed run ended with."""
    created: str = Field(default_factory=lambda: _now())
    updated: str = Field(default_factory=lambda: _now())
    stages: list[Stage] = Field(default_factory=list[Stage])
    facts: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Machine, versions, sandbox level and layers."""

    def find(self, round_: int, name: StageName) -> Stage | None:
        """The record of one stage, if it was ever started."""
        return next((s for s in self.stages if s.round == round_ and s.stage == name), None)

    def save(self, storage: Storage) -> None:
        """Write it, atomically. Raises StorageError."""
        self.updated = _now()
        storage.write(NAME, self.model_dump_json(indent=1).encode())


def load_manifest(storage: Storage) -> Manifest | None:
    """The manifest of a run folder, or None. Raises RecipeError for a newer format, StorageError for a broken file."""
    if not storage.exists(NAME):
        return None
    data = storage.read(NAME)
    try:
        version = _Version.model_validate_json(data).format_version
        if version > FORMAT_VERSION:
            raise RecipeError(
                f"the run folder {storage} has format_version {version}; this pad_ray reads up to {FORMAT_VERSION}.",
                hint="Use a newer pad_ray, or choose another --run-dir.",
            )
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise StorageError(
            f"{storage}/{NAME} is not a manifest ({f'{key}: ' if key else ''}{first['msg']}).",
            hint=UNTOUCHED,
        ) from None


class _Version(BaseModel):
    format_version: int


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
