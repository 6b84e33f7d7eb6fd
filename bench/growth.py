"""What the processes of a running `pad-ray sample` take: memory early in the run and late, and processor time."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import psutil

PARTS = {"EndpointSampler": "sampler", "GovernorActor": "governor"}
"""Ray names its workers after their actor's class."""
EVERY_S = 0.5
TOLERANCE, TOLERANCE_MIB = 0.03, 4.0
"""Growth of a process that is none."""


class Look(NamedTuple):
    """One process at one moment."""

    done: int
    """Samples that were answered by then."""
    mib: float


def watched(driver: subprocess.Popen[str], calls: int, done: Callable[[], int]) -> list[dict[str, Any]]:
    """Look until the driver has all its samples; one row per process that lived through the run.

    Early is the time from a tenth to two tenths of the samples, late the last tenth.
    """
    looks: dict[tuple[str, int], list[Look]] = defaultdict(list)
    while driver.poll() is None and (count := done()) < calls:
        for name, pid, mib in held(driver.pid):
            looks[name, pid].append(Look(count, mib))
        time.sleep(EVERY_S)
    return [row for (name, pid), seen in looks.items() if (row := grown(f"{name} {pid}", seen, calls))]


def processor_ms(process: subprocess.Popen[str], calls: int, done: Callable[[], int]) -> float:
    """Wait for a process; milliseconds of processor time that it and its children took for a sample, start apart."""
    looks: list[tuple[int, float]] = []
    taken: dict[int, float] = {}
    while process.poll() is None:
        if 0 < (count := done()) < calls:
            taken |= dict(_taken(process.pid))
            looks.append((count, sum(taken.values())))
        time.sleep(EVERY_S)
    if len(looks) < 2:
        return float("nan")
    (first, before), (last, after) = looks[0], looks[-1]
    return 1000 * (after - before) / max(1, last - first)


def _taken(pid: int) -> Iterator[tuple[int, float]]:
    """Processor seconds of a process and of each that descends from it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                yield one.pid, times.user + times.system


def held(driver: int) -> list[tuple[str, int, float]]:
    """(part, process id, MiB) of the driver and of the run's own actors."""
    found: list[tuple[str, int, float]] = []
    process = psutil.Process(driver)
    for one in [process, *process.children(recursive=True)]:
        try:
            line = " ".join(one.cmdline())
            name = "driver" if one.pid == driver else next((PARTS[key] for key in PARTS if key in line), "")
            if name:
                memory = one.memory_info()
                # Ray's object store is mapped into all of them.
                found.append((name, one.pid, (memory.rss - memory.shared) / 2**20))
        except psutil.Error:
            continue
    return found


def grown(process: str, looks: list[Look], calls: int) -> dict[str, Any] | None:
    """What a process held early and late; None if it was not there all the time."""
    early = [look.mib for look in looks if 0.1 * calls <= look.done <= 0.2 * calls]
    late = [look.mib for look in looks if look.done >= 0.9 * calls]
    if not early or not late:
        return None
    first, last = statistics.median(early), statistics.median(late)
    return {
        "process": process,
        "early": first,
        "late": last,
        "most": max(look.mib for look in looks),
        "grew": last - first > max(TOLERANCE * first, TOLERANCE_MIB),
        "looks": looks,
    }
