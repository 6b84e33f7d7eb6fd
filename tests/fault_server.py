"""An OpenAI-compatible endpoint that fails on purpose and keeps its own count of what it billed.

    python -m tests.fault_server --faults 0.3 --latency 0.05 --seed 1        prints its port

Nothing is random but by the seed: which fault the n-th call with some content meets, and whether its reply is right,
follow from seed, content and n. A question says what it wants with `[faults: 429, cut]` (one a call, then well) or
`[always: 500]`. A right reply is the answer of `--problems`, or else the sum of the numbers in the question.

What is billed: replies that were sent whole and are well-formed JSON, `no_choices` and `null_content` among them; with
--bill-cut also those whose body was cut, broken or shortened, which then hold their usage where enough was sent.
`GET /stats` tells calls, faults, tokens billed, seconds from the first to the last good reply, and contents that were
answered well more than once; `GET /stats?contents` also every content.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, NamedTuple

from tests.fault_plan import BODIES, FAULTS, STATUSES, UNBILLED, Made, make, scripted, spoil

REFUSED_S = 0.1

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_KEY = re.compile(rb"\r\nauthorization: *Bearer ([^\r]*)", re.IGNORECASE)


class Count:
    """Of one content: calls, replies billed, their tokens, replies that were good."""

    __slots__ = ("billed", "calls", "good", "tokens")

    def __init__(self) -> None:
        self.calls = self.billed = self.tokens = self.good = 0

    def told(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Endpoint:
    """What all connections share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.totals, self.faults = Counter[str](), Counter[str]()
        self.contents: dict[str, Count] = {}
        self.minute: deque[float] = deque()
        self.in_flight = self.peak = 0
        self.first_reply = self.last_reply = 0.0
        self.answers: dict[str, str] = {}
        if options.problems:
            for line in Path(options.problems).read_text().splitlines():
                row = json.loads(line)
                self.answers[row["question"]] = row["answer"].rpartition("####")[2].strip()
        self.server: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=2048)
        return self.server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Close the door for a moment: connections that are open stay, new ones are refused."""
        if self.server is not None:
            port = self.server.sockets[0].getsockname()[1]
            self.server.close()
            self.server = None
            loop = asyncio.get_running_loop()
            loop.call_later(REFUSED_S, lambda: setattr(self, "reopening", loop.create_task(self.listen(port))))

    def stats(self, every: bool) -> dict[str, Any]:
        told = {
            **{key: self.totals[key] for key in ("calls", "billed", "prompt_tokens", "cached_tokens")},
            "completion_tokens": self.totals["completion_tokens"],
            "faults": dict(self.faults),
            "contents": len(self.contents),
            "good_again": sum(count.good > 1 for count in self.contents.values()),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak,
            "seconds": self.last_reply - self.first_reply,
        }
        if every:
            told["each"] = {key: count.told() for key, count in self.contents.items()}
        return told

    def fault(self, asked: dict[str, Any], question: str, count: Count, draw: random.Random, key: str) -> str:
        """What goes wrong with this call; empty for nothing."""
        options = self.options
        if options.key and key != options.key:
            return "401"
        if options.models and asked["model"] not in options.models:
            return "404"
        if options.new_names and "max_tokens" in asked:
            return "old_name"
        if options.per_minute:
            now = monotonic()
            while self.minute and self.minute[0] < now - 60:
                self.minute.popleft()
            if len(self.minute) >= options.per_minute:
                return "429_seconds"
            self.minute.append(now)
        asked_for = scripted(question, count.calls)
        if asked_for is not None:
            return asked_for
        return draw.choice(options.kinds) if draw.random() < options.faults else ""


class Connection(asyncio.Protocol):
    """One client connection; calls on it come one after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.buffer = endpoint, b""
        self.waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.endpoint.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end]
        length = _LENGTH.search(head)
        stop = end + 4 + (int(length[1]) if length else 0)
        if len(self.buffer) < stop:
            return
        body, self.buffer = self.buffer[end + 4 : stop], self.buffer[stop:]
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        if method == "POST" and path.endswith("/chat/completions"):
            self.asked(head, body)
        elif path.endswith("/models"):
            names = self.endpoint.options.models or ["any"]
            self.send(200, json.dumps({"object": "list", "data": [{"id": n, "object": "model"} for n in names]}))
        elif path.startswith("/stats"):
            self.send(200, json.dumps(self.endpoint.stats(every=path.endswith("contents"))))
        else:
            self.send(404, json.dumps({"error": {"message": "There is nothing here.", "code": "not_found"}}))

    def asked(self, head: bytes, body: bytes) -> None:
        endpoint, asked = self.endpoint, json.loads(body)
        digest = hashlib.sha256(body).hexdigest()[:16]
        count = endpoint.contents.setdefault(digest, Count())
        count.calls += 1
        endpoint.totals["calls"] += 1
        question = asked["messages"][-1]["content"].removeprefix("Q: ")
        key = found[1].decode("latin-1") if (found := _KEY.search(head)) else ""
        draw = random.Random(f"{endpoint.options.seed}/{digest}/{count.calls}")
        fault = endpoint.fault(asked, question, count, draw, key)
        if fault:
            endpoint.faults[fault] += 1
        endpoint.in_flight += 1
        endpoint.peak = max(endpoint.peak, endpoint.in_flight)
        draw = random.Random(f"{endpoint.options.seed}/{digest}")
        made = make(asked, endpoint.answers.get(question), endpoint.options.right, draw)
        seconds = endpoint.options.slow if fault == "slow" else endpoint.options.latency
        if seconds:
            loop = asyncio.get_running_loop()
            self.waiting = loop.call_later(seconds, self.answer, made, fault, count, key, asked["model"])
        else:
            self.answer(made, fault, count, key, asked["model"])

    def answer(self, made: Made, fault: str, count: Count, key: str, model: str) -> None:
        self.waiting = None
        endpoint, body = self.endpoint, made.body
        endpoint.in_flight -= 1
        if fault in STATUSES:
            status, code, message = STATUSES[fault]
            told = message.format(key=key, model=model)
            extra = {"429_seconds": f"Retry-After: {endpoint.options.retry_after}\r\n"}.get(fault, "")
            if fault == "429_date":
                extra = f"Retry-After: {formatdate(time() + endpoint.options.retry_after, usegmt=True)}\r\n"
            param = "max_tokens" if fault == "old_name" else None
            self.send(status, json.dumps({"error": {"message": told, "code": code, "param": param}}), extra)
            return
        if fault in ("reset", "refused"):
            if fault == "refused":
                endpoint.refuse()
            self.reset()
            return
        if fault in BODIES:
            body = spoil(body, fault, after_usage=endpoint.options.bill_cut)
        else:
            count.good += 1
            endpoint.last_reply = monotonic()
            endpoint.first_reply = endpoint.first_reply or endpoint.last_reply
        if fault == "cut":
            self.transport.write(_head(200, len(made.body)) + body)
            self.transport.close()
        else:
            self.send(200, body, kind="text/html" if fault == "html" else "application/json")
        if fault not in UNBILLED or (endpoint.options.bill_cut and fault != "html"):
            count.billed += 1
            count.tokens += made.prompt + made.completion
            endpoint.totals["billed"] += 1
            endpoint.totals["prompt_tokens"] += made.prompt
            endpoint.totals["cached_tokens"] += made.cached
            endpoint.totals["completion_tokens"] += made.completion

    def send(self, status: int, body: str | bytes, extra: str = "", kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else body
        self.transport.write(_head(status, len(data), extra, kind) + data)

    def reset(self) -> None:
        """Send a TCP reset instead of an answer."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _head(status: int, length: int, extra: str = "", kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\n{extra}Content-Length: {length}\r\n\r\n".encode()


class Running(NamedTuple):
    """A fault server in a process of its own."""

    url: str

    def stats(self, *, each: bool = False) -> dict[str, Any]:
        """What it counted so far."""
        address = self.url.replace("/v1", "/stats?contents" if each else "/stats")
        for _ in range(50):
            try:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    return json.loads(answer.read())
            except OSError:
                sleep(REFUSED_S)  # the door is closed for a moment
        raise TimeoutError(address)


@contextmanager
def running(*options: object) -> Iterator[Running]:
    """Start a server with these command-line options; it ends with the block, or with the process that started it."""
    command = [sys.executable, "-m", "tests.fault_server", "--parent", str(os.getpid()), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        try:
            assert process.stdout is not None
            yield Running(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
        finally:
            process.terminate()


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process that started it is gone (with --parent), or for ever."""
    print(await Endpoint(options).listen(options.port), flush=True)
    while not options.parent or os.getppid() == options.parent:
        await asyncio.sleep(1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of calls that fail")
    parser.add_argument("--kinds", nargs="+", default=FAULTS, help="the faults that are drawn from")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument("--slow", type=float, default=3600.0, help="seconds before the answer to a slow call")
    parser.add_argument("--retry-after", type=int, default=1, help="seconds, of 429_seconds and 429_date")
    parser.add_argument("--right", type=float, default=0.8, help="share of right programs")
    parser.add_argument("--problems", help="questions with answers (.jsonl)")
    parser.add_argument("--key", default="", help="any other key is refused")
    parser.add_argument("--models", nargs="+", help="any other model is unknown")
    parser.add_argument("--per-minute", type=int, default=0, help="calls in a minute; those beyond are answered 429")
    parser.add_argument("--bill-cut", action="store_true", help="replies that were cut or broken are billed too")
    parser.add_argument("--new-names", action="store_true", help="max_tokens is called max_completion_tokens")
    parser.add_argument("--parent", type=int, default=0, help="stop when this process is gone")
    return parser


if __name__ == "__main__":
    asyncio.run(serve(arguments().parse_args()))
