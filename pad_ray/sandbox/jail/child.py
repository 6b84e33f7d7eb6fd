"""A child: gives up the rest, runs its programs one after another, leaves each result in shared pages, and is gone.

It owns two descriptors at most: `WORK` (a spare reads its one program there) and `BELL` (one byte: look at the pages).
The pages are the only way out, and whoever reads them treats them as hostile.
"""

from __future__ import annotations

import gc
import os
import signal
import struct
import time
from collections.abc import Callable, Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NamedTuple, NoReturn

from . import frames, lockdown
from .interpret import Interpreter

WORK, BELL = 3, 4
NO_SECCOMP = 99
"""Exit code: the filter could not be installed."""
PAGES = 4 << 20
PAGES_HEAD = struct.Struct("<II")
"""Bytes used, programs finished."""
CPU_SHARE = 0.7
"""CPU time decides, at this share of the limit. Wall time is the backstop: a loaded machine is no slow program."""
MEMORY_BYTES = 512 << 20
_FREE_BYTES = 448 << 20
_WORK_HEAD = struct.Struct("<dIII")
_ROOM = frames.HEADER.size + frames.MAX_VALUE + frames.MAX_DETAIL
_WARM_UP = """import math
def solution():
    total, prices = 0, {'a': 1.5}
    for i in range(5):
        total += i * prices['a']
    print(f'{total:.2f}')
    return round(total / 3, 2)
"""


class Job(NamedTuple):
    """One program: its place in the request, and where its two texts stand among the request's texts.

    First the function or variable that holds its answer, from `start`, then the program, from `middle` to `end`.
    """

    place: int
    start: int
    middle: int
    end: int


class Limits(NamedTuple):
    """What a child may map, the filter it takes on (empty: none), and the limits that a test has switched off."""

    address_bytes: int
    seccomp: bytes
    off: frozenset[str]


class Plan(NamedTuple):
    """What one child runs: jobs, each for `timeout` seconds."""

    jobs: Sequence[Job]
    timeout: float
    shared: bool


def give_up(limits: Limits, bell: int, work: int = -1) -> None:
    """Close everything but the bell and the work pipe, take the limits on. None of it can be undone."""
    os.dup2(bell, BELL)
    if work >= 0:
        os.dup2(work, WORK)
    else:
        os.close(WORK)
    os.closerange(0, WORK)
    os.closerange(BELL + 1, 256)
    lockdown.die_with_parent()
    lockdown.limit_child(limits.address_bytes, limits.off)
    if limits.seccomp and lockdown.install_seccomp(limits.seccomp):
        os._exit(NO_SECCOMP)


def run_plan(interpreter: Interpreter, limits: Limits, plan: Plan, texts: mmap | bytes, pages: mmap) -> None:
    """Run the jobs of a plan; every result is complete in the pages before the count says so."""
    gc.disable()  # a neighbour's garbage must not be destroyed on this program's time
    clock, arm = time.perf_counter, timers(plan.timeout, limits.off)
    used = PAGES_HEAD.size
    for done, job in enumerate(plan.jobs, 1):
        entry = texts[job.start : job.middle].decode("utf-8", "surrogatepass")
        program = texts[job.middle : job.end].decode("utf-8", "surrogatepass")
        arm()
        started = clock()
        ending = interpreter.run(program, entry, shared=plan.shared)
        frame = frames.encode(frames.Frame(job.place, *ending, clock() - started))
        pages[used : used + len(frame)] = frame
        used += len(frame)
        pages[: PAGES_HEAD.size] = PAGES_HEAD.pack(used, done)
        if done < len(plan.jobs) and (used + _ROOM > PAGES or _memory_is_kept()):
            break  # the rest gets a fresh child
    ring()


def run_order(interpreter: Interpreter, limits: Limits, pages: mmap, *, warm: bool) -> None:
    """Wait for one program on the pipe and run it.

    When warm, first touch what a run will touch, so that the page faults are paid before the program comes.
    """
    if warm:
        interpreter.run(_WARM_UP, "", shared=False)
    timeout, index, entry_size, program_size = _WORK_HEAD.unpack(_read(_WORK_HEAD.size))
    texts = _read(entry_size + program_size)
    job = Job(index, 0, entry_size, len(texts))
    run_plan(interpreter, limits, Plan([job], timeout, shared=False), texts, pages)


def order_head(job: Job, timeout: float) -> bytes:
    """What stands on the pipe before the texts of a job."""
    return _WORK_HEAD.pack(timeout, job.place, job.middle - job.start, job.end - job.middle)


def ring() -> NoReturn:
    """Say that the pages are complete, and end without any of Python's own clean-up."""
    os.write(BELL, b".")
    os._exit(0)


def _memory_is_kept() -> bool:
    """Whether a program left less memory than the next one may ask for."""
    try:
        mmap(-1, _FREE_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return True
    return False


def timers(timeout: float, off: frozenset[str]) -> Callable[[], None]:
    """What arms both timers. They keep their default action: the signal ends the process, whatever it catches."""
    set_timer, real, cpu = signal.setitimer, signal.ITIMER_REAL, signal.ITIMER_PROF
    wall, share = 0.0 if "alarm" in off else timeout, 0.0 if "cpu" in off else timeout * CPU_SHARE

    def arm() -> None:
        set_timer(real, wall)
        set_timer(cpu, share)

    return arm


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = os.read(WORK, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data
