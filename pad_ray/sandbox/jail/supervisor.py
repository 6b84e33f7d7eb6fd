"""The fork server: loads everything, locks itself down, then forks a child for each batch or each lone program.

It trusts its caller and nobody else. What children leave is copied, bounded and checked; how they ended is asked from
the kernel. Requests come on stdin, results leave on stdout, and end of stdin ends everything.

A fork inherits its parent's memory, so programs and results stay out of it: they are only ever in pages of their own
that a later fork does not get. A lone program finds nothing of those that came before it.

    request   u32 length, JSON {"sizes": [[entry, program], …], "lane", "timeout", "confirm"}, then these texts in turn
    hello     u32 length, JSON report (once: at the start, or after four bytes of any kind when told to be patient)
    reply     one frame for each job, in any order
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import child, frames
from .child import Job, Limits, Plan
from .interpret import Interpreter
from .pipes import LENGTH, Requests, keep_from_children, own_pages, send

GRACE = 0.2
"""Seconds that a child may be late before the supervisor ends it: its own timers come first."""
_GLANCE = 0.1
_TRIAL = 5.0
_BURIAL, _MAX_DYING = 0.1, 4
_ONE_FRAME = frames.HEADER.size + frames.MAX_VALUE + frames.MAX_DETAIL
_CHILD_MAY_SAY = frozenset(
    {"ok", "no_answer", "syntax_error", "runtime_error", "memory", "output_limit", "forbidden", frames.ALONE}
)
_TIMERS = {signal.SIGALRM: "wall", signal.SIGPROF: "cpu", signal.SIGXCPU: "cpu"}
_RANG, _GONE, _LATE = "rang", "gone", "late"
_UNSURE = ("timeout", "memory", "crashed")


class Ended(NamedTuple):
    """A job that is over, and where its frame stands among the results."""

    job: int
    outcome: str
    start: int
    end: int


class Running(NamedTuple):
    """A child at work: its process, its result pages, the bell to listen to, and the pipe for its order (else -1)."""

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
        self._requests = Requests()
        self._dying: list[int] = []
        self._results = own_pages(child.PAGES + _ONE_FRAME)
        keep_from_children(self._results)

    def await_word(self) -> None:
        """Wait for the caller's first four bytes, whatever they say."""
        self._requests.read(LENGTH.size)

    def serve(self) -> None:
        """Answer requests, for ever."""
        while True:
            size = LENGTH.unpack(self._requests.read(LENGTH.size))[0]
            request: dict[str, Any] = json.loads(self._requests.read(size))
            jobs, texts = self._receive(request["sizes"])
            timeout = request["timeout"]
            if request["lane"] == "batch":
                jobs = self._run_shared(jobs, texts, timeout, confirm=request["confirm"])
            keep_from_children(texts)
            self._run_alone(jobs, texts, timeout)
            texts.close()

    def prepare_spare(self) -> None:
        """Have a warmed child waiting, off the clock of the next request."""
        if self._keep_spare and self._spare is None:
            self._spare = self._start_alone(warm=True)

    def fork(
        self, body: Callable[[mmap.mmap], None], *, ordered: bool = False, limits: Limits | None = None
    ) -> Running:
        """Start a child that gives everything up and then runs `body` with its result pages."""
        pages = mmap.mmap(-1, child.PAGES)
        bell, bell_write = os.pipe()
        work_read, work = os.pipe() if ordered else (-1, -1)
        pid = os.fork()
        if pid == 0:
            try:
                child.give_up(limits or self._limits, bell_write, work_read)
                body(pages)
            finally:
                os._exit(98)
        os.close(bell_write)
        if ordered:
            os.close(work_read)
        keep_from_children(pages)
        return Running(pid, pages, bell, work)

    def trial(self, body: Callable[[mmap.mmap], None], limits: Limits) -> tuple[bytes, int]:
        """Run `body` in a throw-away child. Returns what it left in its pages, and its wait status."""
        running = self.fork(body, limits=limits)
        word, _ = self._watch(running, 1, _TRIAL, time.monotonic())
        used = min(child.PAGES_HEAD.unpack_from(running.pages)[0], child.PAGES)
        left = running.pages[child.PAGES_HEAD.size : used]
        return left, self._bury(running, word)

    def _run_shared(self, jobs: Sequence[Job], texts: mmap.mmap, timeout: float, *, confirm: bool) -> Sequence[Job]:
        """Run jobs in shared children. Returns those that need a child of their own."""
        alone: list[Job] = []
        while jobs:
            plan = Plan(jobs, timeout, shared=True)
            running = self._start_shared(plan, texts)
            answered = self._finish(running, plan, time.monotonic())
            held = {ended.job for ended in answered if _wants_own_child(ended, confirm)}
            alone += [job for job in jobs[: len(answered)] if job.place in held]
            self._send([ended for ended in answered if ended.job not in held])
            jobs = jobs[len(answered) :]
        return alone

    def _run_alone(self, jobs: Sequence[Job], texts: mmap.mmap, timeout: float) -> None:
        """Run each job in a child of its own, while the next spare warms up.

        A reply leaves when the child is buried and its successor is there: whoever counts processes then finds
        the same number as before, or a left-over.
        """
        for job in jobs:
            running, self._spare = self._spare or self._start_alone(warm=False), None
            _hand_over(running.work, child.order_head(job, timeout))
            _hand_over(running.work, memoryview(texts)[job.start : job.end])
            since = time.monotonic()
            self.prepare_spare()
            self._send(self._finish(running, Plan([job], timeout, shared=False), since))

    def _start_shared(self, plan: Plan, texts: mmap.mmap) -> Running:
        interpreter, limits = self._interpreter, self._limits
        return self.fork(lambda pages: child.run_plan(interpreter, limits, plan, texts, pages))

    def _start_alone(self, *, warm: bool) -> Running:
        interpreter, limits = self._interpreter, self._limits
        return self.fork(lambda pages: child.run_order(interpreter, limits, pages, warm=warm), ordered=True)

    def _finish(self, running: Running, plan: Plan, since: float) -> list[Ended]:
        """Wait for a child and bury it. Returns what became of its first jobs, of one at least."""
        word, since = self._watch(running, len(plan.jobs), plan.timeout, since)
        status = self._bury(running, word)
        answered = self._collect(running.pages, plan)
        if len(answered) < len(plan.jobs) and (word != _RANG or not answered):
            outcome, detail = _cause(word, status)
            job = plan.jobs[len(answered)].place
            start = answered[-1].end if answered else child.PAGES_HEAD.size
            frame = frames.encode(frames.Frame(job, outcome, "", detail, time.monotonic() - since))
            self._results[start : start + len(frame)] = frame
            answered.append(Ended(job, outcome, start, start + len(frame)))
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
            self._requests.check_caller()
            now_finished = child.PAGES_HEAD.unpack_from(running.pages)[1]
            if finished < now_finished < count:  # who claims to have finished them all gets no more time
                finished, since = now_finished, time.monotonic()

    def _collect(self, pages: mmap.mmap, plan: Plan) -> list[Ended]:
        """The complete results of a child, in order; the first byte that does not fit ends the reading.

        They are copied before they are looked at: a child that still lives can change nothing any more.
        """
        offset = child.PAGES_HEAD.size
        used = max(offset, min(child.PAGES_HEAD.unpack_from(pages)[0], child.PAGES))
        self._results[offset:used] = memoryview(pages)[offset:used]
        copied = memoryview(self._results)[:used]
        answered: list[Ended] = []
        for job in plan.jobs:
            try:
                seen = frames.look(copied, offset)
            except ValueError:
                break
            if seen is None or seen[0] != job.place or seen[1] not in _CHILD_MAY_SAY:
                break
            if seen[1] == frames.ALONE and not plan.shared:
                break
            answered.append(Ended(seen[0], seen[1], offset, seen[2]))
            offset = seen[2]
        return answered

    def _send(self, answered: Sequence[Ended]) -> None:
        """Pass results on; those that stand side by side leave together."""
        results, start, end = memoryview(self._results), 0, 0
        for ended in answered:
            if ended.start != end:
                send(results[start:end])
                start = ended.start
            end = ended.end
        send(results[start:end])

    def _receive(self, sizes: Sequence[tuple[int, int]]) -> tuple[Sequence[Job], mmap.mmap]:
        """The jobs of a request, and their texts in pages of their own."""
        jobs: list[Job] = []
        end = 0
        for index, (entry, program) in enumerate(sizes):
            jobs.append(Job(index, end, end + entry, end + entry + program))
            end += entry + program
        texts = own_pages(max(end, 1))
        self._requests.read_into(memoryview(texts)[:end])
        return jobs, texts


def _hand_over(work: int, order: bytes | memoryview) -> None:
    view = memoryview(order)
    try:
        while view:
            view = view[os.write(work, view) :]
    except BrokenPipeError:
        return  # the spare is dead; the watch that follows says how it ended


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


def _wants_own_child(ended: Ended, confirm: bool) -> bool:
    return ended.outcome == frames.ALONE or (confirm and ended.outcome in _UNSURE)
