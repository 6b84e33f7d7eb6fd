"""What a Model does for one caller, and whether the caller is still there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


class Attended:
    """An engine as long as somebody waits for what it is asked for; then a call raises Abandoned."""

    def __init__(self, engine: Engine, one: Errand) -> None:
        self._engine, self._one = engine, one

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Completion]:
        """See `Engine.generate`."""
        if not self._one.wanted:
            raise Abandoned
        return self._engine.generate(prompts, **settings)
