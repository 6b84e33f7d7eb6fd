"""What grows with a run: time, memory and bytes a row of every part that sees all of them, and what ten million take.

    python bench/scale.py [--sizes 10000 100000 1000000] [--parts plan journals …] [--json FILE]

Each part is the real code on made-up rows as long as those of the recipe `cluster`, in a process of its own. Seconds
are those of a core, so that other work on the machine changes them little. Growth is the exponent between the last two
sizes (1.0: in proportion). A part that a run cuts into shards is only extrapolated in time; its memory is that of one
shard. docs/scale.md says what follows.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table
from scale_driver import Cleaned, Encoded, Governed, Mixed, Noted, Plan, Recorded, Taken
from scale_part import Part
from scale_shards import Compacted, Curated, Executed, Opened, Read, Written

from pad_ray import terminal

PARTS: dict[str, type[Part]] = {
    "intake": Taken,
    "recorded": Recorded,
    "plan": Plan,
    "new-problems": Cleaned,
    "journals-written": Written,
    "journals-read": Read,
    "compaction": Compacted,
    "shard-held": Opened,
    "sandbox": Executed,
    "curation": Curated,
    "mixture": Mixed,
    "encoding": Encoded,
    "governor": Governed,
    "manifest": Noted,
}
SIZES = (10_000, 100_000, 1_000_000)
TARGET = 10_000_000
EVERY_S = 0.02


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows (default 10,000 to 1,000,000)")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--one", nargs=2, metavar=("PART", "ROWS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], int(options.one[1]))))
        return
    table = Table("part", "rows", "seconds", "µs a row", "bytes a row", "memory a row", "growth", f"{TARGET:,} rows")
    found: list[dict[str, Any]] = []
    for part in options.parts:
        # A part that is only ever given a shard has sizes of its own.
        sizes = PARTS[part].sizes or options.sizes
        for rows in sizes:
            line = [sys.executable, __file__, "--one", part, str(rows)]
            found.append(json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout))
            before = found[-2] if len(found) > 1 and found[-2]["part"] == part else None
            found[-1]["growth"] = growth(before, found[-1]) if before else None
            table.add_row(*cells(found[-1]))
            terminal.console().print(f"{part}: {rows:,} rows in {found[-1]['seconds']:.1f} s")
    terminal.console().print(table, crop=False)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(part: str, rows: int) -> dict[str, Any]:
    """Prepare a part, run it, and look at this process while it runs."""
    with tempfile.TemporaryDirectory(prefix="scale_") as folder:
        work = PARTS[part](Path(folder), rows)
        with Memory() as memory:
            started = sum(os.times()[:4])
            facts = work.run()
            seconds = sum(os.times()[:4]) - started
        return {"part": part, "rows": rows, "seconds": seconds, "mib": memory.mib, **facts}


class Memory:
    """The most that this process held inside the block beyond what it held before it, in MiB."""

    def __enter__(self) -> Memory:
        self._process, self._end = psutil.Process(), threading.Event()
        self._before = self._most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.mib = (self._most - self._before) / 2**20

    def _look(self) -> None:
        while not self._end.wait(EVERY_S):
            self._most = max(self._most, self._process.memory_info().rss)


def growth(before: dict[str, Any], after: dict[str, Any]) -> float:
    """The exponent with which the time grew."""
    return math.log(after["seconds"] / before["seconds"]) / math.log(after["rows"] / before["rows"])


def cells(row: dict[str, Any]) -> list[str]:
    """A line of the table."""
    rows, each = row["rows"], PARTS[row["part"]]
    seconds = row["seconds"] / rows * TARGET
    whole = f"{seconds / 3600:.1f} h" if seconds > 3600 else f"{seconds / 60:.0f} min"
    if not each.sharded:
        whole += f", {row['mib'] / rows * TARGET / 1024:.0f} GiB"
    size = f"{row['bytes'] / rows:,.0f}" if "bytes" in row else ""
    grew = "" if row["growth"] is None else f"{row['growth']:.2f}"
    memory = f"{row['mib'] * 2**20 / rows:,.0f}"
    return [
        row["part"],
        f"{rows:,}",
        f"{row['seconds']:.2f}",
        f"{1e6 * row['seconds'] / rows:,.1f}",
        size,
        memory,
        grew,
        whole,
    ]


if __name__ == "__main__":
    main()
