"""What a Model does for one caller, and whether the caller is still there; the engine that all callers share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from pad_ray.decode.answering import Ask
from pad_ray.decode.engine import Completion, Engine


class Abandoned(Exception):
    """Nobody waits any more for what was being done, so nobody reads this either."""


@dataclass(slots=True)
class Errand:
    """One question, as long as somebody waits for it."""

    ask: Ask
    """The question."""
    wanted: bool = True
    """Whether the caller is still there; read by the thread that works on it."""


@contextmanager
def errand(ask: Ask) -> Iterator[Errand]:
    """A question that is wanted within the block."""
    one = Errand(ask)
    try:
        yield one
    finally:
        one.wanted = False


class Shared:
    """An engine that several threads use in turn, a call at a time: a search gives way at each of its steps."""

    def __init__(self, engine: Engine, turn: Lock) -> None:
        self._engine, self._turn = engine, turn

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        """See `Engine.generate`."""
        with self._turn:
            return self._engine.generate(prompts, **settings)


class Searching(Shared):
    """The same for the questions of one search. Raises Abandoned when none of them is wanted any more."""

    def __init__(self, engine: Engine, turn: Lock, errands: Sequence[Errand]) -> None:
        super().__init__(engine, turn)
        self._errands = errands

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        """See `Engine.generate`."""
        if not any(one.wanted for one in self._errands):
            raise Abandoned
        return super().generate(prompts, **settings)
