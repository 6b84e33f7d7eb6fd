"""The governor as an actor of the run, and each sampler's side of it: one exchange some times a second.

The actor lives and dies with the call of the run that started it; what was spent before comes from the rows.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from pad_ray.teacher.governor import Governor, Grant, Limits, Report, Spend, Stop
from pad_ray.teacher.money import Worst
from pad_ray.teacher.share import Share

EXCHANGE_S = 0.25
"""Seconds between exchanges; the next one is due at once when a call cannot start with what is leased."""
AGAIN_S = 0.05
"""Seconds until one that was granted too little asks again."""


@ray.remote(num_cpus=0, max_restarts=0)
class GovernorActor:
    """One for each stage of a call of the run that asks an endpoint."""

    def __init__(self, limits: Limits, committed_usd: float) -> None:
        self._governor = Governor(limits, time.monotonic, committed_usd)
        self._key = ""

    def keep_key(self, key: str) -> None:
        """Keep the teacher's key for the samplers, in memory: arguments of actors and tasks may be written down."""
        self._key = key

    def key(self) -> str:
        """The teacher's key."""
        return self._key

    def exchange(self, report: Report) -> Grant:
        """See Governor."""
        return self._governor.exchange(report)

    def start_over(self, committed_usd: float) -> None:
        """See Governor."""
        self._governor.start_over(committed_usd)

    def state(self) -> tuple[Spend, Stop | None]:
        """What was spent in this call of the run, and why it must end, if it must."""
        return self._governor.spend(), self._governor.stop


def governor_gone() -> Stop:
    """Why nothing more may start when that actor has died."""
    return Stop("teacher", "the actor that holds the run's budget and rates has died.", "The same command resumes.")


class LeasedAllowance:
    """The limits of the whole run, as one sampler sees them. Lives in one event loop; see Allowance."""

    def __init__(
        self, actor: str, exchange: Callable[[Report], Awaitable[Grant]], on_concurrency: Callable[[int], None]
    ) -> None:
        """`exchange` reaches the governor; `on_concurrency` is told this actor's share of the calls in flight."""
        self._share, self._exchange, self._on_concurrency = Share(actor), exchange, on_concurrency
        self._waiting: deque[tuple[Worst, asyncio.Future[None]]] = deque()
        self._began: dict[Any, float] = {}
        self._wake = asyncio.Event()
        self._telling = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def reserve(self, usd: float, tokens: int) -> None:
        """Wait until a call of so much may start. Raises BudgetReached or TeacherError when none may any more."""
        call = Worst(usd, tokens)
        if self._task is None:
            self._task = asyncio.create_task(self._exchange_on())
        if self._share.stop:
            raise self._share.stop.error()
        if self._waiting or not self._share.take(call, time.monotonic()):
            await self._turn(call)
        # A task makes one call at a time; its beginning says from which minute its tokens are taken.
        self._began[asyncio.current_task()] = time.monotonic()

    def settle(self, usd: float, tokens: int, *, spent_usd: float, used_tokens: int) -> None:
        """Give a reservation back and book what the call took."""
        began = self._began.pop(asyncio.current_task())
        self._share.settle(Worst(usd, tokens), spent_usd=spent_usd, used_tokens=used_tokens, began=began)
        self._start_waiting()

    def throttled(self, retry_after_s: float | None) -> None:
        """Tell everybody to pause."""
        self._share.throttled(retry_after_s)
        self._wake.set()

    def succeeded(self) -> None:
        """A call was answered."""
        self._share.succeeded()

    def failed(self, sentence: str, *, fatal: bool) -> None:
        """A call failed."""
        self._share.failed(sentence, fatal=fatal)
        if fatal:
            self._wake.set()

    async def tell(self) -> None:
        """Tell the governor everything now, and start what it grants."""
        # One at a time: a report that leaves before the grant of another has come would count that one's lease twice.
        async with self._telling:
            while self._waiting and self._waiting[0][1].done():
                self._waiting.popleft()  # given up by whoever waited
            report = self._share.report(time.monotonic(), [call for call, _ in self._waiting])
            try:
                grant = await self._exchange(report)
            except RayError:
                # Without it nobody may spend anything.
                grant = Grant(0.0, 0.0, 0.0, 0.0, 1, False, governor_gone())
            self._share.accept(grant, time.monotonic())
        self._on_concurrency(grant.concurrency)
        self._start_waiting()

    async def _turn(self, call: Worst) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((call, turn))
        self._wake.set()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._share.settle(call, spent_usd=0.0, used_tokens=0, began=time.monotonic())
            raise

    async def _exchange_on(self) -> None:
        while True:
            self._wake.clear()
            await self.tell()
            if self._waiting:
                await asyncio.sleep(min(EXCHANGE_S, max(AGAIN_S, self._share.pause_s(time.monotonic()))))
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), EXCHANGE_S)

    def _start_waiting(self) -> None:
        while self._waiting:
            call, turn = self._waiting[0]
            if not turn.done():
                if self._share.stop:
                    turn.set_exception(self._share.stop.error())
                elif self._share.take(call, time.monotonic()):
                    turn.set_result(None)
                else:
                    return
            self._waiting.popleft()
