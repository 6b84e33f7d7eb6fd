"""What a part that `scale.py` measures is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Part(ABC):
    """One part with its rows prepared; `run` is what is measured, and may return facts beside."""

    sharded = True
    """Whether a run holds no more of it at once than a shard."""
    sizes: Sequence[int] = ()
    """Its own sizes; empty: those asked for."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        self.prepare()

    def prepare(self) -> None:  # noqa: B027
        """Make the rows, for parts that need some before they are measured."""

    @abstractmethod
    def run(self) -> dict[str, Any]:
        """Do it."""


def size(folder: Path) -> int:
    """Bytes in a folder or file."""
    files = folder.rglob("*") if folder.is_dir() else [folder]
    return sum(file.stat().st_size for file in files if file.is_file())
