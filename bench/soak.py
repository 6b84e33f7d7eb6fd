"""Endurance: many programs, some of which hang, crash or eat memory, and nothing may grow or be left over.

One program in a hundred runs into its time limit, one in a hundred crashes or fills its memory, a seventh imports
numpy, one in two hundred uses it or sympy, and every tenth request goes through the solo lane. Memory, descriptors and
processes of the caller and of the sandbox's fork servers are sampled; the medians of the second and of the last fifth
of the samples must be alike.

    python bench/soak.py [--programs 200000] [--json FILE]

Exit code 1 when something grew, was left over, or when a program's value was wrong. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from programs import NUMPY_UNUSED, PLAIN, SCIENCE, corpus
from rich.table import Table

from pad_ray import terminal
from pad_ray.errors import PadRayError
from pad_ray.flow.progress import Reporter
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution, Sandbox

REQUEST = 500
FAULTS = 0.01
"""Share of programs that hang, and share of programs that crash."""
NUMPY_SHARE, SCIENCE_SHARE, SOLO_SHARE = 1 / 7, 1 / 200, 0.1
TOLERANCE, TOLERANCE_MIB = 0.02, 1.0
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
HANGS = {
    "loop": "while True:\n    pass\n",
    "loop that catches all": """while True:
    try:
        while True:
            pass
    except BaseException:
        pass
""",
    "long call": "ans = sum(range(10**14))\n",
    "sleep": "import time\ntime.sleep(60)\n",
}
CRASHES = {
    "no memory": "ans = 'a' * 10**11\n",
    "memory bit by bit": "keep = []\nwhile True:\n    keep.append(bytes(50_000_000))\n",
    "native stack": "step = iter([])\nfor _ in range(300_000):\n    step = map(abs, step)\nans = list(step)\n",
    "leaves": "import statistics\nstatistics.sys.modules['os']._exit(3)\n",
    "abort": "import statistics\nstatistics.sys.modules['os'].abort()\n",
}


class Case(NamedTuple):
    """A program, what kind it is, and the value it must give ("" where it must give none)."""

    source: str
    kind: str
    value: str


class Sample(NamedTuple):
    """What is held at one moment, by the caller and by the fork servers."""

    seconds: float
    programs: int
    processes: int
    caller_mib: float
    caller_descriptors: int
    plain_mib: float
    plain_descriptors: int
    science_mib: float
    science_descriptors: int


MEASURED = Sample._fields[2:]


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=100, help="how often to look (default 100)")
    parser.add_argument("--timeout-s", type=float, default=0.05, help="limit of each program (default 0.05)")
    parser.add_argument("--level", default="strict", help="the level that the sandbox must reach (default strict)")
    parser.add_argument("--json", type=Path, help="write samples and verdicts to this file")
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        raise SystemExit("The soak reads memory and descriptors from /proc, which this system does not have.")
    try:
        report = soak(options)
    except PadRayError as error:
        raise SystemExit(f"{error.message} {error.hint}") from None
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if report["good"] else 1)


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """All programs, in requests. Returns plain data: samples, growth, outcomes."""
    endings: dict[str, Counter[str]] = {}
    samples: list[Sample] = []
    wrong: list[str] = []
    good = good_programs(options.level)
    with Sandbox(level=options.level, timeout_s=options.timeout_s, confirm=True) as box, Reporter() as reporter:
        box.run(["import numpy"])  # both fork servers are up
        started, next_sample = time.monotonic(), 0
        with reporter.bar("soak", options.programs, "programs") as bar:
            done = 0
            for lane, cases in requests(good, options.programs):
                for case, execution in zip(cases, box.run([case.source for case in cases], lane=lane), strict=True):
                    endings.setdefault(case.kind, Counter())[execution.outcome] += 1
                    if not as_expected(case, execution):
                        wrong.append(f"{case.kind}: {execution} instead of {case.value!r}")
                done += len(cases)
                bar.to(done, f"{box.restarts} restarts, {len(wrong)} wrong")
                if done >= next_sample:
                    next_sample += options.programs // options.samples
                    samples.append(sample(box, done, time.monotonic() - started))
        seconds = time.monotonic() - started
        restarts, level = box.restarts, box.level
    time.sleep(0.5)
    growth = {name: grown([getattr(one, name) for one in samples]) for name in MEASURED}
    left_over = len(descendants(os.getpid()))
    return {
        "level": level,
        "programs": done,
        "seconds": seconds,
        "programs_per_s": done / seconds,
        "restarts": restarts,
        "left_over_processes": left_over,
        "growth": growth,
        "outcomes": endings,
        "wrong": wrong[:100],
        "good": not (left_over or wrong or restarts or any(one["grew"] for one in growth.values())),
        "samples": [one._asdict() for one in samples],
    }


def good_programs(level: str) -> dict[str, list[Case]]:
    """Good programs of each kind with the values they give, alone and with time enough."""
    kinds: dict[str, list[Case]] = {}
    with Sandbox(level=level, timeout_s=10) as box:
        for kind, templates, size in (("plain", PLAIN, 200), ("numpy", NUMPY_UNUSED, 30), ("science", SCIENCE, 20)):
            sources = [one.source for one in corpus(templates, size)]
            pairs = zip(sources, box.run(sources, lane="solo"), strict=True)
            kinds[kind] = [Case(source, kind, one.value) for source, one in pairs]
    return kinds


def requests(good: dict[str, list[Case]], programs: int) -> Iterator[tuple[str, list[Case]]]:
    """Requests with their lanes, drawn under one seed: good programs, hangs and crashes in their shares."""
    draw = random.Random(0)
    while programs > 0:
        cases: list[Case] = []
        for _ in range(min(REQUEST, programs)):
            kind = "numpy" if draw.random() < NUMPY_SHARE else "science" if draw.random() < SCIENCE_SHARE else "plain"
            luck = draw.random()
            if luck < 2 * FAULTS:
                fault, faults = ("hang", HANGS) if luck < FAULTS else ("crash", CRASHES)
                source = draw.choice(list(faults.values()))
                cases.append(Case(source if kind == "plain" else f"import numpy as np\n{source}", fault, ""))
            else:
                cases.append(draw.choice(good[kind]))
        programs -= len(cases)
        yield "solo" if draw.random() < SOLO_SHARE else "batch", cases


def as_expected(case: Case, execution: Execution) -> bool:
    """A good program gives its value, or runs out of time on a busy machine; a hang or a crash gives none."""
    if case.kind == "hang":
        return execution.outcome is Outcome.TIMEOUT
    if case.kind == "crash":
        return execution.outcome in (Outcome.CRASHED, Outcome.MEMORY, Outcome.TIMEOUT)
    return execution.outcome is Outcome.TIMEOUT or (execution.outcome, execution.value) == (Outcome.OK, case.value)


def sample(box: Sandbox, programs: int, seconds: float) -> Sample:
    caller, plain, science = (held(pid) for pid in (os.getpid(), *(box._zygotes[kind].pid for kind in box._zygotes)))
    return Sample(seconds, programs, len(descendants(os.getpid())), *caller, *plain, *science)


def held(pid: int) -> tuple[float, int]:
    """Resident memory in MiB and open descriptors, -1 of these where a locked-down process shows them to nobody."""
    resident_mib = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_MIB
    try:
        return resident_mib, len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        return resident_mib, -1


def descendants(pid: int) -> list[int]:
    """Living processes that descend from `pid`."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if state != "Z":
                children.setdefault(int(parent), []).append(int(folder.name))
    found, waiting = [], [pid]
    while waiting:
        new = children.get(waiting.pop(), [])
        found += new
        waiting += new
    return found


def grown(series: list[float]) -> dict[str, Any]:
    """The medians of the second and of the last fifth, and whether the last is more than the tolerance above."""
    fifth = max(1, len(series) // 5)
    second, last = statistics.median(series[fifth : 2 * fifth] or series), statistics.median(series[-fifth:])
    allowed = max(TOLERANCE * second, TOLERANCE_MIB) if isinstance(series[0], float) else 0
    return {"second_fifth": second, "last_fifth": last, "grew": last - second > allowed}


def show(report: dict[str, Any]) -> None:
    """What was held, then how the programs ended."""
    title = f"{report['programs']:,} programs in {report['seconds']:.0f} s, sandbox level {report['level']}"
    held = Table("held", "second fifth", "last fifth", "verdict", title=title)
    for name, one in report["growth"].items():
        verdict = "grew" if one["grew"] else "flat"
        held.add_row(name, f"{one['second_fifth']:.1f}", f"{one['last_fifth']:.1f}", verdict)
    ended = Table("programs", "ended as")
    for kind, outcomes in report["outcomes"].items():
        ended.add_row(kind, ", ".join(f"{outcome} {count:,}" for outcome, count in outcomes.items()))
    console = terminal.console()
    console.print(held, ended)
    for line in report["wrong"][:5]:
        console.print(line, highlight=False, markup=False)
    console.print(
        f"{report['programs_per_s']:,.0f} programs/s · {report['restarts']} restarts · "
        f"{report['left_over_processes']} processes left over · {'passed' if report['good'] else 'FAILED'}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
