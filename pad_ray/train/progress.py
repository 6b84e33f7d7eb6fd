"""`metrics.jsonl`: one line per optimizer step, written by the first worker, read by the driver while training runs.

Whoever else shows the curves is told the same lines, see `tracking`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

END_BYTES = 1 << 14
"""The end of the file that the driver reads: about a hundred steps."""

FLUSH_S = 0.5
"""Seconds between writes: steps of a small student are far shorter than a write is worth."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """How far a training is."""

    step: int
    """Optimizer steps done."""
    steps: int
    """Optimizer steps in all."""
    loss: float
    """Mean loss of the step, in nats per completion token, or per pair where preferences are learned."""
    lr: float
    """Learning rate of the step."""
    tokens: int
    """Completion tokens so far."""
    seconds: float
    """Time trained so far, resumed parts included."""
    held_out: float | None = None
    """Mean loss on the held-out questions after the step, in nats per completion token; None where not measured."""
    margin: float | None = None
    """Mean margin of the step's pairs, in nats times beta; None where no preferences are learned."""
    accuracy: float | None = None
    """Share of the step's pairs with a positive margin."""
    divergence: float | None = None
    """Mean divergence from the teacher, in nats per completion token; None where there is none."""

    @property
    def figures(self) -> dict[str, float]:
        """What the objective measured besides its loss, by name."""
        found = {"margin": self.margin, "accuracy": self.accuracy, "divergence": self.divergence}
        return {name: value for name, value in found.items() if value is not None}


class Tracker(Protocol):
    """Somebody else who shows the curves of a training."""

    def add(self, progress: TrainProgress) -> None:
        """Take one line; those of a training that resumes come again from the first one on."""
        ...

    def flush(self) -> None:
        """Hand over what was taken so far."""
        ...

    def close(self, done: bool) -> None:
        """The training is done, or was stopped."""
        ...


class MetricsLog:
    """Appends steps to the file; lines after the step a training resumes from are taken out first."""

    def __init__(self, path: Path, resumed_step: int, trackers: Sequence[Tracker] = ()) -> None:
        kept = [line for line in read_metrics(path) if line.step <= resumed_step]
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._flushed = time.monotonic()
        self._trackers = trackers
        for tracker in trackers:
            for line in kept:
                tracker.add(line)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        for tracker in self._trackers:
            tracker.close(done=error is None)

    def append(self, progress: TrainProgress) -> None:
        """Add one step; it reaches the disk within about half a second of training."""
        self._file.write(_line(progress))
        for tracker in self._trackers:
            tracker.add(progress)
        if time.monotonic() - self._flushed > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system, where it survives a kill."""
        self._file.flush()
        for tracker in self._trackers:
            tracker.flush()
        self._flushed = time.monotonic()


def read_metrics(path: Path) -> list[TrainProgress]:
    """The complete lines of the file; a last line cut by a kill is left out."""
    if not path.exists():
        return []
    return [TrainProgress(**json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def last_progress(path: Path) -> TrainProgress | None:
    """The newest complete line, with the newest held-out loss near it, reading only the end of the file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - END_BYTES))
        lines = file.read().split(b"\n")
    # The first piece may lack its beginning and the last its end; a line is far shorter than the part that was read.
    complete = [TrainProgress(**json.loads(line)) for line in lines[:-1] if line.startswith(b"{")]
    if not complete:
        return None
    measured = [line.held_out for line in complete if line.held_out is not None]
    return replace(complete[-1], held_out=measured[-1] if measured else None)


def _line(progress: TrainProgress) -> str:
    return json.dumps({name: value for name, value in asdict(progress).items() if value is not None}) + "\n"
