"""`metrics.jsonl`: one line per optimizer step, written by the first worker, read by the driver while training runs."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

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
    """Mean loss of the step, in nats per completion token."""
    lr: float
    """Learning rate of the step."""
    tokens: int
    """Completion tokens so far."""
    seconds: float
    """Time trained so far, resumed parts included."""


class MetricsLog:
    """Appends steps to the file; lines after the step a training resumes from are taken out first."""

    def __init__(self, path: Path, resumed_step: int) -> None:
        kept = [line for line in read_metrics(path) if line.step <= resumed_step]
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text("".join(map(_line, kept)), encoding="utf-8")
        temporary.replace(path)
        self._file = path.open("a", encoding="utf-8")
        self._flushed = time.monotonic()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, progress: TrainProgress) -> None:
        """Add one step; it reaches the disk within about half a second of training."""
        self._file.write(_line(progress))
        if time.monotonic() - self._flushed > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system, where it survives a kill."""
        self._file.flush()
        self._flushed = time.monotonic()


def read_metrics(path: Path) -> list[TrainProgress]:
    """The complete lines of the file; a last line cut by a kill is left out."""
    if not path.exists():
        return []
    return [TrainProgress(**json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def last_progress(path: Path) -> TrainProgress | None:
    """The newest complete line, reading only the end of the file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1024))
        lines = file.read().split(b"\n")
    # The first piece may lack its beginning and the last its end; a line is far shorter than the part that was read.
    complete = [line for line in lines[:-1] if line.startswith(b"{")]
    return TrainProgress(**json.loads(complete[-1])) if complete else None


def _line(progress: TrainProgress) -> str:
    return json.dumps(asdict(progress)) + "\n"
