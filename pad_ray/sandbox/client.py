"""`Sandbox`: programs in, executions out, in order, whatever the programs do."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from pad_ray.errors import SandboxError, UsageError
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import levels
from pad_ray.sandbox.execution import Execution
from pad_ray.sandbox.jail.frames import Frame
from pad_ray.sandbox.zygote import Zygote, ZygoteDied

BATCH = 256
MAX_SOURCE = 30_000
LANES = ("batch", "solo")
_PLAIN, _SCIENCE = "plain", "science"


class Sandbox:
    """Runs untrusted programs in locked-down processes; see the package for what is covered and what is not.

    `level` is the least that is accepted; `timeout_s` is the wall limit of one program (CPU: 0.7 of it). With
    `confirm`, a timeout, memory error or crash seen in the batch lane is run once more alone before it becomes
    the verdict. Raises SandboxError on entering if the level cannot be reached.
    """

    def __init__(
        self,
        level: str = "strict",
        timeout_s: float = 1.0,
        confirm: bool = False,
        *,
        _off: frozenset[str] = frozenset(),
    ) -> None:
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise UsageError(f"timeout_s is {timeout_s}, not a number of seconds above 0.")
        self._asked = levels.known(level)
        self._timeout = timeout_s
        self._confirm = confirm
        self._off = _off
        self._zygotes: dict[str, Zygote] = {}
        self._lock = threading.Lock()
        self._closing = False
        self.level = ""
        """The level reached, once entered."""
        self.report: dict[str, Any] = {}
        """What the probes found, once entered; plain data that goes into run records."""
        self.restarts = 0
        """How many dead processes were replaced."""

    def __enter__(self) -> Self:
        if os.name != "posix":
            raise SandboxError("The sandbox forks, and this system cannot.", hint="Use Linux, or WSL on Windows.")
        self._closing = False
        # The science process loads numpy for a second; nobody waits for it before a program needs it.
        self._zygotes = {kind: self._start(kind) for kind in (_PLAIN, _SCIENCE)}
        try:
            self._check(self._zygotes[_PLAIN])
        except SandboxError:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process of this sandbox; a run that another thread has under way then raises SandboxError."""
        self._closing = True
        for zygote in tuple(self._zygotes.values()):
            zygote.kill()
        with self._lock:
            while self._zygotes:
                self._zygotes.popitem()[1].close()

    def run(
        self, programs: Sequence[str], lane: str = "batch", entry: str | Sequence[str] = "solution"
    ) -> list[Execution]:
        """What became of each program, in order; safe to call from several threads, which then take turns.

        Lane `batch`: plain programs share a child, others get their own. Lane `solo`: each has its own child, for
        programs of different users. `entry` is the function to call or the variable to read, one for all or one for
        each; "" and "solution" mean `solution()`, else `ans`, `answer`, `result`.
        """
        if not self._zygotes:
            raise UsageError("The sandbox is not open.", hint="Use it as `with Sandbox() as box:`.")
        if isinstance(programs, str):
            raise UsageError("The programs are one text, not a list.", hint="Write run([program]).")
        if lane not in LANES:
            raise UsageError(f"lane {lane!r} does not exist.", hint="Use 'batch' or 'solo'.")
        entries = [entry] * len(programs) if isinstance(entry, str) else list(entry)
        if len(entries) != len(programs):
            raise UsageError(f"{len(programs)} programs and {len(entries)} entries.", hint="Give one entry for each.")
        results: dict[int, Execution] = {}
        queues: dict[str, list[int]] = {_PLAIN: [], _SCIENCE: []}
        for place, program in enumerate(programs):
            if len(program.encode("utf-8", "surrogatepass")) > MAX_SOURCE:
                results[place] = Execution(Outcome.FORBIDDEN, detail=f"source over {MAX_SOURCE} bytes")
            else:
                science = "numpy" in program or "sympy" in program
                queues[_SCIENCE if science else _PLAIN].append(place)
        with self._lock:
            for kind, places in queues.items():
                for start in range(0, len(places), BATCH):
                    part = places[start : start + BATCH]
                    found = self._run(kind, [(programs[place], entries[place]) for place in part], lane)
                    results |= zip(part, found, strict=True)
        return [results[place] for place in range(len(programs))]

    def _run(self, kind: str, jobs: list[tuple[str, str]], lane: str) -> list[Execution]:
        """Run jobs in one zygote; if it dies, replace it and run what is unanswered once more."""
        waiting = list(range(len(jobs)))
        results = [Execution(Outcome.SANDBOX_ERROR, detail="the sandbox process died twice")] * len(jobs)
        for _ in range(2):
            answered: dict[int, Frame] = {}
            try:
                zygote = self._zygotes[kind]
                if kind == _SCIENCE:
                    self._check(zygote)
                asked = [jobs[place] for place in waiting]
                zygote.ask(asked, lane=lane, timeout=self._timeout, confirm=self._confirm, answered=answered)
            except ZygoteDied:
                self._replace(kind)
            for position, frame in answered.items():
                results[waiting[position]] = _execution(frame)
            waiting = [place for position, place in enumerate(waiting) if position not in answered]
            if not waiting:
                break
        return results

    def _replace(self, kind: str) -> None:
        if self._closing:
            raise SandboxError("The sandbox was closed while it ran programs.")
        self._zygotes[kind].close()
        self._zygotes[kind] = self._start(kind)
        self._check(self._zygotes[kind])
        self.restarts += 1

    def _start(self, kind: str) -> Zygote:
        return Zygote(science=kind == _SCIENCE, off=self._off)

    def _check(self, zygote: Zygote) -> None:
        """Hold the zygote to the level that was asked for."""
        report = zygote.report()
        reached = levels.require(self._asked, report["layers"])
        if not self.level or levels.LEVELS.index(reached) < levels.LEVELS.index(self.level):
            self.level = reached
        self.report = {**report, "science": report["science"] or self.report.get("science", []), "level": self.level}


def _execution(frame: Frame) -> Execution:
    return Execution(Outcome(frame.outcome), frame.value, frame.detail, frame.seconds)
