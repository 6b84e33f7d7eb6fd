"""Programs a second in the sandbox's batch lane, as a share of bare compile + exec of the same programs.

Each sample is bracketed by bare runs in the same seconds, so that a busy machine slows both; the median ratio counts.

    python bench/sandbox.py [--programs 2048] [--samples 9]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

TEMPLATES = (
    """def solution():
    apples_per_box = {a}
    boxes = {b}
    eaten = {c}
    apples_left = apples_per_box * boxes - eaten
    price_per_apple = {d} / 100
    return round(apples_left * price_per_apple, 2)
""",
    """import math

def solution():
    guests = {a} * {b}
    seats_per_table = {c}
    tables = math.ceil(guests / seats_per_table)
    return tables
""",
    """def solution():
    savings = {a}
    months = 0
    while savings < {a} * {b}:
        savings += {c}
        months += 1
    return months
""",
    """from fractions import Fraction

def solution():
    share = Fraction({a}, {b}) + Fraction({c}, {d})
    total = share * {d}
    return total
""",
    """prices = {{"pen": {a}, "book": {b}, "bag": {c}}}
order = [("pen", 4), ("book", 2), ("bag", 1)]
cost = sum(prices[name] * count for name, count in order)
discount = cost * {d} / 1000
ans = cost - discount
""",
    """def solution(first={a}, second={b}):
    numbers = [first + i * second for i in range({c})]
    even = [number for number in numbers if number % 2 == 0]
    print(f"{{len(even)}} of {{len(numbers)}}")
    return max(numbers) - min(numbers) + len(even)
""",
)


def corpus(size: int, seed: int = 0) -> list[str]:
    """Programs like a teacher's, all different."""
    draw = random.Random(seed)
    return [TEMPLATES[i % len(TEMPLATES)].format(**{name: draw.randint(2, 60) for name in "abcd"}) for i in range(size)]


def bare(programs: list[str]) -> None:
    """The same work without any protection."""
    with contextlib.redirect_stdout(io.StringIO()):
        for program in programs:
            names: dict[str, Any] = {}
            exec(compile(program, "<program>", "exec"), names)
            if "solution" in names:
                names["solution"]()


def rate(work: Callable[[], object], programs: list[str]) -> float:
    """Programs a second."""
    started = time.perf_counter()
    work()
    return len(programs) / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=9)
    options = parser.parse_args()
    programs = corpus(options.programs)
    alone = programs[: max(1, options.programs // 32)]
    started = time.perf_counter()
    with Sandbox(level="unsafe") as box:
        start_ms = (time.perf_counter() - started) * 1e3
        for execution in box.run(programs):
            if execution.outcome is not Outcome.OK:
                raise SystemExit(f"a program of the benchmark did not run: {execution}")
        box.run(["import numpy"])  # the science process has started and rests
        bare(programs)
        samples: list[tuple[float, float, float, float]] = []
        for _ in range(options.samples):
            before = rate(lambda: bare(programs), programs)
            batch = rate(lambda: box.run(programs), programs)
            after = rate(lambda: bare(programs), programs)
            solo = rate(lambda: [box.run([program], lane="solo") for program in alone], alone)
            bare_rate = (before + after) / 2
            samples.append((bare_rate, batch, batch / bare_rate, solo))
        print(f"sandbox level {box.level}, started in {start_ms:.0f} ms")
    bare_rate, batch, ratio, solo = (statistics.median(column) for column in zip(*samples, strict=True))
    print(f"bare compile + exec   {bare_rate:9.0f} programs/s")
    print(f"batch lane            {batch:9.0f} programs/s   ratio to bare {ratio:.2f} (median of {len(samples)})")
    print(f"solo lane, one by one {solo:9.0f} programs/s   {1e3 / solo:.2f} ms each")


if __name__ == "__main__":
    main()
