"""What the service counts: Ray's metrics, which every node exports for Prometheus, and all of them on one page."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import httpx
import ray
from ray.util.metrics import Counter, Gauge, Histogram

from serve.gate import Visit

PREFIXES = ("ray_pad_ray_", "ray_serve_")
"""Of all that Ray exports, what is about the service: our own measures, and Serve's of every deployment."""
NODE_SECONDS = 2.0
SECONDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]
"""Upper bounds of the histogram's buckets."""


class Measures:
    """The measures of one Ingress; Prometheus adds up those of several."""

    def __init__(self) -> None:
        self._requests = Counter("pad_ray_requests", "Requests by route and status.", ("route", "status"))
        self._seconds = Histogram("pad_ray_request_seconds", "Time from request to reply.", SECONDS, ("route",))
        self._answers = Counter("pad_ray_answers", "Answers by student and outcome.", ("model", "outcome"))
        self._tokens = Counter("pad_ray_tokens", "Tokens generated, by student.", ("model",))
        self._inside = Gauge("pad_ray_programs_in_flight", "Programs being written or executed.")

    def visit(self, visit: Visit) -> None:
        """Count a request."""
        # A path that is no route would be a time series of its own, for whatever anyone asks for.
        route = visit.route or "none"
        self._requests.inc(1, {"route": route, "status": str(visit.status)})
        self._seconds.observe(max(visit.seconds, 1e-6), {"route": route})

    def answer(self, model: str, outcome: str, tokens: int) -> None:
        """Count an answer."""
        self._answers.inc(1, {"model": model, "outcome": outcome})
        if tokens:
            self._tokens.inc(tokens, {"model": model})

    def inside(self, programs: int) -> None:
        """Say how many programs are in flight."""
        self._inside.set(programs)


class AccessLog:
    """One JSON object a line for each request: a Visit, with the route's notes among its fields."""

    def __init__(self, path: str) -> None:
        """`path` is a file that is appended to; empty: standard output of the replica, which Ray keeps as a log."""
        self._file = Path(path).open("a", encoding="utf-8", buffering=1) if path else sys.stdout  # noqa: SIM115

    def write(self, visit: Visit) -> None:
        """Add a line. What a client can choose is escaped by JSON, so that nobody writes lines of their own."""
        entry = asdict(visit)
        entry |= entry.pop("notes")
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


async def exposition() -> str:
    """The service's metrics of all nodes, in the text format of Prometheus. Values are up to ten seconds old."""
    nodes = await asyncio.to_thread(ray.nodes)
    addresses = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes if node["Alive"]]
    async with httpx.AsyncClient(timeout=NODE_SECONDS, trust_env=False) as client:
        asked = (client.get(f"http://{address}/metrics") for address in addresses)
        replies = await asyncio.gather(*asked, return_exceptions=True)
    return merged(reply.text for reply in replies if isinstance(reply, httpx.Response) and reply.is_success)


def merged(pages: Iterable[str]) -> str:
    """Pages of several nodes as one, each measure with one header, without what is not about the service."""
    headers: dict[str, dict[str, str]] = {}
    samples: dict[str, list[str]] = {}
    for page in pages:
        family = ""
        for line in page.splitlines():
            if line.startswith(("# HELP ", "# TYPE ")):
                _, word, family, *_ = line.split(" ", 3)
                headers.setdefault(family, {})[word] = line
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(line)
    return "".join(
        f"{line}\n"
        for family, lines in samples.items()
        if family.startswith(PREFIXES)
        for line in [*headers[family].values(), *lines]
    )
