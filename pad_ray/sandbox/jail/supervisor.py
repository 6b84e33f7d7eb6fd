"""The fork server: loads everything, locks itself down, then forks a child for each batch or each lone program.

It trusts its caller and nobody else. What children leave is copied, bounded and checked; how they ended is asked from
the kernel. Requests come on stdin, results leave on stdout, and end of stdin ends everything.

    request   u32 length, JSON {"jobs": [[program, entry], …], "lane", "timeout", "confirm"}
    hello     u32 length, JSON report (once: at the start, or after four bytes of any kind when told to be patient)
    reply     one frame for each job, in any order
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import child, frames
from .child import Job, Limits, Plan
from .interpret import Interpreter

REQUESTS, REPLIES = 0, 1
LENGTH = struct.Struct("<I")
GRACE = 0.2
"""Seconds that a child may be late before the supervisor ends it: its own timers come first."""
_GLANCE = 0.1
_CALLER_CHECK = 2.0
_TRIAL = 5.0
_BURIAL, _MAX_DYING = 0.1, 4
_CHILD_MAY_SAY = frozenset(
    {"ok", "no_answer", "syntax_error", "runtime_error", "memory", "output_limit", "forbidden", frames.ALONE}
)
_TIMERS = {signal.SIGALRM: "wall", signal.SIGPROF: "cpu", signal.SIGXCPU: "cpu"}
_RANG, _GONE, _LATE = "rang", "gone", "late"
_UNSURE = ("timeout", "memory", "crashed")


class Running(NamedTuple):
    """A child at work: its process, its result pages, the bell to listen to, and the pipe of a spare (else -1)."""

    pid: int
    pages: mmap.mmap
    bell: int
    work: int


class Supervisor:
    """Serves requests until its caller is gone. With `keep_spare`, one warmed child always waits for a lone program."""

    def __init__(self, interpreter: Interpreter, limits: Limits, *, keep_spare: bool) -> None:
        self._interpreter = interpreter
        self._limits = limits
        self._keep_spare = keep_spare
        self._spare: Running | None = None
        self._caller = os.getppid()
        self._dying: list[int] = []

    def await_word(self) -> None:
        """Wait for the caller's first four bytes, whatever they say."""
        self._read(LENGTH.size)

    def serve(self) -> None:
        """Answer requests, for ever."""
        while True:
            size = LENGTH.unpack(self._read(LENGTH.size))[0]
            request: dict[str, Any] = json.loads(self._read(size))
            jobs = [(index, Job(*job)) for index, job in enumerate(request["jobs"])]
            timeout = request["timeout"]
            if request["lane"] == "batch":
                jobs = self._run_shared(jobs, timeout, confirm=request["confirm"])
            self._run_alone(jobs, timeout)

    def prepare_spare(self) -> None:
        """Have a warmed child waiting, off the clock of the next request."""
        if self._keep_spare and self._spare is None:
            self._spare = self.fork(lambda pages: child.run_spare(self._interpreter, self._limits, pages), spare=True)

    def fork(self, body: Callable[[mmap.mmap], None], *, spare: bool = False, limits: Limits | None = None) -> Running:
        """Start a child that gives everything up and then runs `body` with its result pages."""
        pages = mmap.mmap(-1, child.PAGES)
        bell, bell_write = os.pipe()
        work_read, work = os.pipe() if spare else (-1, -1)
        pid = os.fork()
        if pid == 0:
            try:
                child.give_up(limits or self._limits, bell_write, work_read)
                body(pages)
            finally:
                os._exit(98)
        os.close(bell_write)
        if spare:
            os.close(work_read)
        if hasattr(mmap, "MADV_DONTFORK"):
            pages.madvise(mmap.MADV_DONTFORK)  # no later child may see, or write, what this one leaves
        return Running(pid, pages, bell, work)

    def trial(self, body: Callable[[mmap.mmap], None], limits: Limits) -> tuple[bytes, int]:
        """Run `body` in a throw-away child. Returns what it left in its pages, and its wait status."""
        running = self.fork(body, limits=limits)
        word, _ = self._watch(running, 1, _TRIAL, time.monotonic())
        used = min(child.PAGES_HEAD.unpack_from(running.pages)[0], child.PAGES)
        left = running.pages[child.PAGES_HEAD.size : used]
        return left, self._bury(running, word)

    def _run_shared(self, jobs: Sequence[tuple[int, Job]], timeout: float, *, confirm: bool) -> list[tuple[int, Job]]:
        """Run jobs in shared children. Returns those that need a child of their own."""
        alone: list[tuple[int, Job]] = []
        while jobs:
            plan = Plan(jobs, timeout, shared=True)
            answered = self._finish(self._start(plan), plan, time.monotonic())
            held = {frame.job for frame in answered if _wants_own_child(frame, confirm)}
            alone += [job for job in jobs[: len(answered)] if job[0] in held]
            self._send([frame for frame in answered if frame.job not in held])
            jobs = jobs[len(answered) :]
        return alone

    def _run_alone(self, jobs: Sequence[tuple[int, Job]], timeout: float) -> None:
        """Run each job in a child of its own, while the next spare warms up.

        A reply leaves when the child is buried and its successor is there: whoever counts processes then finds
        the same number as before, or a left-over.
        """
        for index, job in jobs:
            plan = Plan([(0, job)], timeout, shared=False)
            running, self._spare = self._spare, None
            if running is None:
                running = self._start(plan)
            else:
                _hand_over(running.work, child.work_order(job, timeout))
            since = time.monotonic()
            self.prepare_spare()
            (frame,) = self._finish(running, plan, since)
            self._send([frame._replace(job=index)])

    def _start(self, plan: Plan) -> Running:
        return self.fork(lambda pages: child.run_plan(self._interpreter, self._limits, plan, pages))

    def _finish(self, running: Running, plan: Plan, since: float) -> list[frames.Frame]:
        """Wait for a child and bury it. Returns what became of its first jobs, of one at least."""
        word, since = self._watch(running, len(plan.jobs), plan.timeout, since)
        status = self._bury(running, word)
        answered = _collect(running.pages, plan)
        if len(answered) < len(plan.jobs) and (word != _RANG or not answered):
            outcome, detail = _cause(word, status)
            job = plan.jobs[len(answered)][0]
            answered.append(frames.Frame(job, outcome, "", detail, time.monotonic() - since))
        return answered

    def _bury(self, running: Running, word: str) -> int:
        """End a child and close what led to it. Returns its wait status, 0 where it does not matter.

        A child that filled its memory takes the kernel a while to clear away: nobody waits longer than `_BURIAL`.
        """
        os.kill(running.pid, signal.SIGKILL)  # also one that has only closed its bell; the status of a dead one stays
        gone = word == _GONE
        if not gone:
            poll = select.poll()
            poll.register(running.bell, 0)  # hang-up is always told
            gone = bool(poll.poll(_BURIAL * 1000))
        os.close(running.bell)
        if running.work >= 0:
            os.close(running.work)
        self._dying = [pid for pid in self._dying if os.waitpid(pid, os.WNOHANG)[0] == 0]
        if gone or len(self._dying) >= _MAX_DYING:
            return os.waitpid(running.pid, 0)[1]
        self._dying.append(running.pid)
        return 0

    def _watch(self, running: Running, count: int, timeout: float, since: float) -> tuple[str, float]:
        """Until the child rings, is gone, or is late. Returns which, and since when its last program runs."""
        poll = select.poll()
        poll.register(running.bell, select.POLLIN)
        finished = 0
        while True:
            left = since + timeout + GRACE - time.monotonic()
            if left <= 0:
                return _LATE, since
            if poll.poll(min(left, _GLANCE) * 1000):
                return (_RANG if os.read(running.bell, 1) else _GONE), since
            if os.getppid() != self._caller:
                os._exit(0)
            now_finished = child.PAGES_HEAD.unpack_from(running.pages)[1]
            if finished < now_finished < count:  # who claims to have finished them all gets no more time
                finished, since = now_finished, time.monotonic()

    def _send(self, answered: Sequence[frames.Frame]) -> None:
        send(b"".join(map(frames.encode, answered)))

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes of requests; ends the process when the caller is gone."""
        poll = select.poll()
        poll.register(REQUESTS, select.POLLIN)
        data = bytearray()
        while len(data) < size:
            if not poll.poll(_CALLER_CHECK * 1000):
                if os.getppid() != self._caller:  # a fork of the caller may still hold the pipe open
                    os._exit(0)
                continue
            part = os.read(REQUESTS, size - len(data))
            if not part:
                os._exit(0)
            data += part
        return bytes(data)


def send(data: bytes) -> None:
    """Write everything to the caller; ends the process when the caller is gone."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(REPLIES, view) :]
    except BrokenPipeError:
        os._exit(0)


def _hand_over(work: int, order: bytes) -> None:
    view = memoryview(order)
    try:
        while view:
            view = view[os.write(work, view) :]
    except BrokenPipeError:
        return  # the spare is dead; the watch that follows says how it ended


def _collect(pages: mmap.mmap, plan: Plan) -> list[frames.Frame]:
    """The complete results in the pages, in order; the first byte that does not fit ends the reading."""
    used = min(child.PAGES_HEAD.unpack_from(pages)[0], len(pages))
    raw = pages[child.PAGES_HEAD.size : used]
    answered: list[frames.Frame] = []
    offset = 0
    for index, _ in plan.jobs:
        try:
            found = frames.decode(raw, offset)
        except ValueError:
            break
        if found is None or found[0].job != index or found[0].outcome not in _CHILD_MAY_SAY:
            break
        if found[0].outcome == frames.ALONE and not plan.shared:
            break
        frame, offset = found
        answered.append(frame)
    return answered


def _cause(word: str, status: int) -> tuple[str, str]:
    """Outcome and detail of a program whose child ended without a result for it."""
    if word == _LATE:
        return "timeout", "wall"
    if word == _GONE and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in _TIMERS:
            return "timeout", _TIMERS[signal.Signals(number)]
        return "crashed", f"signal {number}"
    if word == _GONE:
        return "crashed", f"exit {os.WEXITSTATUS(status)}"
    return "crashed", "no readable result"


def _wants_own_child(frame: frames.Frame, confirm: bool) -> bool:
    return frame.outcome == frames.ALONE or (confirm and frame.outcome in _UNSURE)
