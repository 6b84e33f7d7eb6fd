"""One engine for many callers: what waits while it is busy goes through it together when it gets free.

Serve's own batching cannot do this. It closes a batch as soon as its time is up and lets closed batches wait, so that
without a wait nearly every batch holds one call, and with one even an idle engine waits. Here calls are gathered at the
engine itself, so that searches, which come back to it line by line, share it with everybody else.

Who got an answer often asks again at once. Eight such clients would come in batches of one and seven by turns: the
first to be back takes the engine alone, and all others wait for it. So an engine that gets free waits a moment for as
many as there were just before; for a single client it never waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Condition, Lock

from pad_ray.decode.engine import Completion, Engine

QUIET_SECONDS = 0.05
"""Without a call for so long, the engine waits for no others."""
WAIT_SHARE = 0.2
"""The longest wait, beside what the batch before it took."""


@dataclass(eq=False, slots=True)
class _Call:
    """One call on its way through the engine."""

    alike: tuple[int, float, str]
    """Limit, temperature and stop text: what calls must share to go together."""
    prompts: Sequence[str]
    seeds: Sequence[int]
    written: Sequence[Sequence[int]]
    wanted: Callable[[int], bool]
    ended: bool = False
    completions: list[Completion] = field(default_factory=list[Completion])
    error: Exception | None = None


class Merging:
    """An engine for calls from several threads, one of which speaks for all that wait."""

    def __init__(self, engine: Engine, most: int, desk: Executor) -> None:
        """`most`: prompts that go together, unless a single call has more. `desk`: where the engine works."""
        self._engine, self._most, self._desk = engine, most, desk
        self._waiting: list[_Call] = []
        self._busy = False
        self._crowd = 0
        """Prompts of the last batch and of what waited beside it."""
        self._took = 0.0
        """Seconds of the last batch."""
        lock = Lock()
        self._free, self._arrived = Condition(lock), Condition(lock)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`; where seeds matter, it takes one per prompt only."""
        if isinstance(seed, int):
            if temperature:
                raise ValueError("seed: give one per prompt; a single one would depend on who else calls.")
            seed = [seed] * len(prompts)
        before = written or [()] * len(prompts)
        call = _Call((max_tokens, temperature, stop), prompts, seed, before, wanted or (lambda _: True))
        with self._free:
            self._waiting.append(call)
            self._arrived.notify()
        while True:
            with self._free:
                self._free.wait_for(lambda: call.ended or not self._busy)
                if call.ended:
                    break
                self._busy = True
                self._gather()
                calls = self._next()
            started = time.monotonic()
            try:
                self._work(calls)
            finally:
                with self._free:
                    self._busy, self._took = False, time.monotonic() - started
                    self._crowd = min(self._rows(calls) + self._rows(self._waiting), self._most)
                    self._free.notify_all()
        if call.error:
            raise call.error
        return call.completions

    def _gather(self) -> None:
        """Wait for those who were there just before, as long as some still come."""
        end = time.monotonic() + self._took * WAIT_SHARE
        while (rows := self._rows(self._waiting)) < self._crowd:
            self._arrived.wait(max(0.0, min(QUIET_SECONDS, end - time.monotonic())))
            if self._rows(self._waiting) == rows:
                break

    def _rows(self, calls: Sequence[_Call]) -> int:
        return sum(len(call.prompts) for call in calls)

    def _next(self) -> list[_Call]:
        """Whoever waits longest, and what may go with it."""
        taken, rows = [], 0
        for call in self._waiting:
            if call.alike == self._waiting[0].alike and (not taken or rows + len(call.prompts) <= self._most):
                taken.append(call)
                rows += len(call.prompts)
        self._waiting = [call for call in self._waiting if call not in taken]
        return taken

    def _work(self, calls: Sequence[_Call]) -> None:
        try:
            self._complete(calls)
        except Exception as error:
            if len(calls) == 1:
                calls[0].error, calls[0].ended = error, True
                return
            # It may be the fault of one of them: the others shall not have its error.
            for call in calls:
                self._work([call])

    def _complete(self, calls: Sequence[_Call]) -> None:
        max_tokens, temperature, stop = calls[0].alike
        rows = [(call, place) for call in calls for place in range(len(call.prompts))]
        completions = self._desk.submit(
            self._engine.generate,
            [call.prompts[place] for call, place in rows],
            max_tokens=max_tokens,
            temperature=temperature,
            seed=[call.seeds[place] for call, place in rows],
            stop=stop,
            written=[call.written[place] for call, place in rows],
            wanted=lambda row: rows[row][0].wanted(rows[row][1]),
        ).result()
        for (call, _), completion in zip(rows, completions, strict=True):
            call.completions.append(completion)
        for call in calls:
            call.ended = True
