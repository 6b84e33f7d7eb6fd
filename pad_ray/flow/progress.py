"""What the user sees while it works: one line per stage with rate and time left; plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pad_ray import terminal


class Bar:
    """Progress of one stage."""

    def __init__(self, progress: Progress | None, console: Console, label: str, total: int, unit: str) -> None:
        self._progress, self._console, self._label, self._unit = progress, console, label, unit
        self._total, self._done, self._note = total, 0, ""
        self._started = self._printed = time.monotonic()
        self._task = progress.add_task(label, total=total, note="", unit=unit) if progress else None

    def total(self, total: int) -> None:
        """Correct the number of units to do."""
        self._total = total
        self._show()

    def to(self, done: int, note: str = "") -> None:
        """So many units are done in all."""
        self._done, self._note = done, note or self._note
        self._show()

    def advance(self, count: int = 1, note: str = "") -> None:
        """So many units more are done."""
        self.to(self._done + count, note)

    def _show(self) -> None:
        if self._progress and self._task is not None:
            rate = f"{self._rate():.1f} {self._unit}/s"
            self._progress.update(self._task, completed=self._done, total=self._total, note=self._note, unit=rate)
        elif time.monotonic() - self._printed > 15:
            self._printed = time.monotonic()
            self._console.print(f"  {self._label}: {self._describe()}", highlight=False, markup=False)

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._started, 1e-9)

    def _describe(self) -> str:
        left = (self._total - self._done) / max(self._rate(), 1e-9) if self._done else 0.0
        eta = f", {left:.0f} s left" if self._done < self._total and self._done else ""
        note = f", {self._note}" if self._note else ""
        return f"{self._done}/{self._total} {self._unit}, {self._rate():.1f}/s{eta}{note}"

    def close(self) -> None:
        """Leave one finished line behind."""
        if not self._progress:
            seconds = time.monotonic() - self._started
            text = f"  {self._label}: {self._done}/{self._total} {self._unit} in {seconds:.1f} s"
            self._console.print(f"{text}{', ' + self._note if self._note else ''}", highlight=False, markup=False)


class Reporter:
    """Hands out bars; use as a context."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal.console(stderr=True)
        self._progress = None
        if self.console.is_terminal:
            self._progress = Progress(
                SpinnerColumn(finished_text="✓"),
                TextColumn("{task.description:<28}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("[dim]{task.fields[note]}"),
                console=self.console,
            )

    def __enter__(self) -> Reporter:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress:
            self._progress.stop()

    def say(self, text: str) -> None:
        """One plain line."""
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """A bar for the block; it stays behind when the block ends."""
        bar = Bar(self._progress, self.console, label, total, unit)
        try:
            yield bar
        finally:
            bar.close()
