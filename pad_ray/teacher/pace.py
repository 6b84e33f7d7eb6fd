"""How many calls are in flight: as many as the teacher bears, found by trying.

The limit rises by a step for every window of successes and is halved when the teacher complains (429, 503, a call
without an answer): additive increase, multiplicative decrease. `Window` is the arithmetic, with the clock handed in;
`Pace` is the gate that calls wait at.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

STEPS = 16
"""Steps from nothing to the ceiling: after a halving half as many windows of successes lead back to it."""
COOL_DOWN_S = 5.0
"""Least time between two halvings."""


class Window:
    """The limit on calls in flight."""

    def __init__(self, ceiling: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins at the ceiling: it is what the recipe asks for."""
        self._ceiling, self._clock = ceiling, clock
        self._limit, self._step = float(ceiling), max(1.0, ceiling / STEPS)
        self._successes = 0
        self._halved, self._calm = -float("inf"), -float("inf")

    @property
    def limit(self) -> int:
        """Calls that may be in flight; at least one."""
        return int(self._limit)

    def cap(self, ceiling: int) -> None:
        """Another ceiling; a limit that stood at the old one follows it up."""
        at_the_top = self._limit >= self._ceiling
        self._ceiling, self._step = ceiling, max(1.0, ceiling / STEPS)
        self._limit = float(ceiling) if at_the_top else min(self._limit, ceiling)

    def succeeded(self) -> None:
        """A call was answered; a window of them, as many as may be in flight, raises the limit by a step."""
        if self._limit >= self._ceiling:
            return
        self._successes += 1
        if self._successes >= self._limit:
            self._limit = min(self._ceiling, self._limit + self._step)
            self._successes = 0

    def throttled(self, began: float, retry_after_s: float | None = None) -> None:
        """The teacher complained about a call that began at `began`.

        Halves the limit, but at most once in a cool-down, and not for calls that began before the latest halving:
        what they met was the old limit.
        """
        now = self._clock()
        if now < self._calm or began < self._halved:
            return
        self._limit = max(1.0, self._limit / 2)
        self._successes = 0
        self._halved, self._calm = now, now + max(COOL_DOWN_S, retry_after_s or 0.0)


class Pace:
    """Lets as many calls through as the window allows; in the order they came, but those that try again go first."""

    def __init__(self, ceiling: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = Window(ceiling, clock=clock)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return self._window.limit

    @asynccontextmanager
    async def slot(self, *, again: bool = False) -> AsyncIterator[None]:
        """A block that holds one of the places; `again` for a call that was let through before and failed."""
        await self._enter(again)
        try:
            yield
        finally:
            self.in_flight -= 1
            self._admit()

    def cap(self, ceiling: int) -> None:
        """Another share of the run's calls in flight, at least 1; what is in flight beyond it is left to finish."""
        self._window.cap(ceiling)
        self._admit()

    def succeeded(self) -> None:
        """A call was answered."""
        self._window.succeeded()
        self._admit()

    def throttled(self, began: float, retry_after_s: float | None = None) -> None:
        """The teacher complained about a call that began at `began`."""
        self._window.throttled(began, retry_after_s)

    async def _enter(self, again: bool) -> None:
        if self.in_flight < self._window.limit and not self._waiting:
            self.in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if again else self._waiting.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was already given its place
                self.in_flight -= 1
                self._admit()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _admit(self) -> None:
        while self._waiting and self.in_flight < self._window.limit:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self.in_flight += 1
