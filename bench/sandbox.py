"""What safety costs: the sandbox beside bare compile + exec of the same programs, and beside other executors.

Everything runs on one core, in turns, and each turn stands between two bare runs: a busy machine slows all alike, and
the median of the paired ratios counts. Wanted: a batch lane at half the speed of bare, or better.

    python bench/sandbox.py [--rounds 9] [--json FILE] [--corpus programs.jsonl]

A corpus of your own also runs bare, without any protection: name only files that you trust. smolagents is compared
where it is installed (pip install smolagents).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from executors import bare, fresh_interpreter, process_and_queue, smolagents
from programs import NUMPY_UNUSED, PLAIN, SCIENCE, Program, corpus, read_corpus
from rich.table import Table

from pad_ray import terminal
from pad_ray.errors import PadRayError, UsageError
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

WANTED = 0.5
Run = Callable[[Sequence[Program]], object]


class Way(NamedTuple):
    """One way to run programs: how many a turn, how many at once, and how long to rest before each call."""

    name: str
    run: Run
    programs: int
    at_once: int = 1
    pause_s: float = 0.0


class Row(NamedTuple):
    """What was measured of one way; latencies where programs ran one by one."""

    group: str
    name: str
    per_s: float
    ratio: float
    p50_ms: float | None
    p99_ms: float | None
    ratios: list[float]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of each way (default 9)")
    parser.add_argument("--programs", type=int, default=2048, help="programs a turn of the batch lane (default 2048)")
    parser.add_argument("--corpus", type=Path, help="your own programs, as JSON lines with `program` and `entry`")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--level", default="strict", help="the level that the sandbox must reach (default strict)")
    options = parser.parse_args()
    try:
        report = measure_all(options)
    except PadRayError as error:
        raise SystemExit(f"{error.message} {error.hint}") from None
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    """Every way, on plain programs and on those with numpy or sympy. Returns plain data."""
    core = pin()
    with Sandbox(level=options.level) as box:
        plain = read_corpus(options.corpus) if options.corpus else corpus(PLAIN, options.programs)
        plain, left_out = runnable(box, plain)

        def batch(programs: Sequence[Program]) -> None:
            box.run([one.source for one in programs], entry=[one.entry for one in programs])

        def solo(programs: Sequence[Program]) -> None:
            box.run([one.source for one in programs], lane="solo", entry=[one.entry for one in programs])

        some, few = max(1, len(plain) // 32), max(1, len(plain) // 256)
        ways = [
            Way("sandbox, batch lane", batch, len(plain), at_once=len(plain)),
            Way("sandbox, solo lane, back to back", solo, some),
            Way("sandbox, solo lane, 50 requests/s", solo, some, pause_s=0.02),
            Way("fresh python -c", fresh_interpreter, few),
            Way("process and queue for each", process_and_queue, few),
        ]
        interpreted = None if options.corpus else smolagents()
        if interpreted:
            ways.append(Way("smolagents LocalPythonExecutor", interpreted, some))
        elif not options.corpus:
            say("smolagents is not installed, so it is not compared (pip install smolagents)")
        rows = measure("plain", plain, ways, options.rounds)
        for name in ("numpy", "sympy"):
            importlib.import_module(name)  # bare runs have it loaded, as the sandbox has
        for group, templates, size in (
            ("import numpy, unused", NUMPY_UNUSED, options.programs // 4),
            ("use numpy or sympy", SCIENCE, options.programs // 32),
        ):
            programs, _ = runnable(box, corpus(templates, max(1, size)))
            ways = [Way("sandbox, batch lane", batch, len(programs), at_once=len(programs))]
            rows += measure(group, programs, ways, options.rounds)
        return {
            "level": box.level,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "core": core,
            "rounds": options.rounds,
            "programs": len(plain),
            "left_out": left_out,
            "rows": [row._asdict() for row in rows],
        }


def pin() -> int | None:
    """Keep this process, and what it starts, on one core. Returns which, None where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def runnable(box: Sandbox, programs: list[Program]) -> tuple[list[Program], int]:
    """The programs that give an answer, and how many do not: a bare run would stop at those."""
    found = box.run([one.source for one in programs], entry=[one.entry for one in programs])
    kept = [one for one, execution in zip(programs, found, strict=True) if execution.outcome is Outcome.OK]
    if not kept:
        raise UsageError(f"None of {len(programs)} programs ran; the first ended as {found[0]}.")
    return kept, len(programs) - len(kept)


def measure(group: str, programs: list[Program], ways: list[Way], rounds: int) -> list[Row]:
    """Let all ways take turns, each between two bare runs of the whole corpus."""
    bare(programs)
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    ratios: dict[str, list[float]] = {way.name: [] for way in ways}
    calls: dict[str, list[float]] = {way.name: [] for way in ways}
    bares: list[float] = []
    for number in range(1, rounds + 1):
        say(f"{group}: round {number} of {rounds}")
        bares.append(len(programs) / seconds(bare, programs))
        for way in ways:
            times = [
                seconds(way.run, programs[start : start + way.at_once], pause_s=way.pause_s)
                for start in range(0, way.programs, way.at_once)
            ]
            bares.append(len(programs) / seconds(bare, programs))
            rates[way.name].append(way.programs / sum(times))
            ratios[way.name].append(2 * rates[way.name][-1] / (bares[-2] + bares[-1]))
            calls[way.name] += times if way.at_once == 1 else []
    rows = [Row(group, "bare compile + exec", statistics.median(bares), 1.0, None, None, [])]
    for way in ways:
        p50, p99 = percentiles(calls[way.name])
        ratio = statistics.median(ratios[way.name])
        rows.append(Row(group, way.name, statistics.median(rates[way.name]), ratio, p50, p99, ratios[way.name]))
    return rows


def seconds(run: Run, programs: Sequence[Program], *, pause_s: float = 0.0) -> float:
    time.sleep(pause_s)
    started = time.perf_counter()
    run(programs)
    return time.perf_counter() - started


def percentiles(times: list[float]) -> tuple[float | None, float | None]:
    """p50 and p99 in milliseconds."""
    if len(times) < 2:
        return None, None
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return cuts[49] * 1e3, cuts[98] * 1e3


def show(report: dict[str, Any]) -> None:
    """The table, and whether the batch lane is as fast as it should be."""
    table = Table(title=f"Sandbox level {report['level']}, Python {report['python']}, one core")
    table.add_column("programs")
    table.add_column("executor")
    for name in ("programs/s", "of bare", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for row in report["rows"]:
        latencies = (f"{row[key]:.2f}" if row[key] is not None else "" for key in ("p50_ms", "p99_ms"))
        table.add_row(row["group"], row["name"], f"{row['per_s']:,.0f}", f"{row['ratio']:.3f}", *latencies)
    console = terminal.console()
    console.print(table)
    ratio = next(row["ratio"] for row in report["rows"] if row["name"] == "sandbox, batch lane")
    verdict = "as wanted" if ratio >= WANTED else "too slow"
    console.print(f"batch lane: {ratio:.2f} of bare ({verdict}: {WANTED} or better)", highlight=False)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
