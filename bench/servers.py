"""What is measured: the service, and what could stand in its place, each in a process of its own."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import httpx
import psutil

from pad_ray import Reasoner
from pad_ray.flow.cluster import connect, settle_environment
from serve.run import run_service

# No postponed annotations here: FastAPI must find the types of a class that travels to a replica.

START_SECONDS = 300


def run_fastapi(student: str, port: int) -> None:
    """The app that one would write first."""
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
    # Before Ray is imported; and with the niceness that the service has.
    settle_environment()
    os.environ.setdefault("RAY_worker_niceness", "0")
    from fastapi import FastAPI
    from ray import serve

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

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    with connect():
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(Echo.bind())
        # Not sigwait: a signal that reaches one of Ray's threads would never end it.
        ended = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: ended.set())
        while not ended.wait(0.5):
            pass


def run_ours(student: str, port: int) -> None:
    """The service, without its own words between the lines of the table."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
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
    """Whether a server answers, and says that it works."""
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def memory(process: psutil.Process) -> dict[str, int]:
    """Bytes that belong to a process and to each one below it alone, by their names."""
    used: dict[str, int] = {}
    for one in [process, *process.children(recursive=True)]:
        try:
            # What a Ray process is doing stands behind a dot.
            name = (one.cmdline() or [one.name()])[0].rpartition("/")[2].partition(".")[0]
            used[name] = used.get(name, 0) + one.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return used
