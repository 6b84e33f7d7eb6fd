"""Clients of a service that is measured: some that wait for their answers, and a crowd that does not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from serve.schema import TOKEN_VARIABLE

TICK_SECONDS = 0.01
PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request got."""

    number: int
    """Which body it had."""
    status: int
    """The status."""
    late: float
    """Seconds that it was sent later than planned: the fault of this process, and no part of `seconds`."""
    seconds: float
    """From sending to the whole reply."""
    retry_after: str
    """When to come again, if it was told so."""
    body: Any
    """The reply."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a crowd saw."""

    replies: list[Reply]
    """In the order in which they came back."""
    stalls: list[float]
    """By how many seconds this process woke later than it wanted, a hundred times a second."""


async def in_turn(url: str, clients: int, bodies: Iterable[dict[str, Any]]) -> list[Reply]:
    """So many clients, each of which asks the next question when it has its answer; the refused wait as told."""
    waiting, seen = iter(enumerate(bodies)), list[Reply]()

    async def client(session: httpx.AsyncClient) -> None:
        for number, body in waiting:
            seen.append(reply := await _ask(session, number, body))
            await asyncio.sleep(float(reply.retry_after or 0))

    async with _session(url) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return seen


async def in_a_crowd(url: str, per_second: float, duration: float, body: Callable[[int], dict[str, Any]]) -> Crowd:
    """Requests that come by chance (a Poisson process), whatever became of those before; returns when all are over."""
    arrivals = _arrivals(per_second, duration)
    seen, stalls, tasks = list[Reply](), list[float](), list[asyncio.Task[None]]()

    async def one(session: httpx.AsyncClient, number: int, planned: float) -> None:
        seen.append(await _ask(session, number, body(number), time.perf_counter() - planned))

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            stalls.append(time.perf_counter() - before - TICK_SECONDS)

    async with _session(url) as session:
        watching, started = asyncio.ensure_future(watch()), time.perf_counter()
        for number, arrival in enumerate(arrivals):
            await asyncio.sleep(started + arrival - time.perf_counter())
            tasks.append(asyncio.ensure_future(one(session, number, started + arrival)))
        await asyncio.gather(*tasks)
        watching.cancel()
    return Crowd(seen, stalls)


def _arrivals(per_second: float, duration: float) -> Iterator[float]:
    random, now = np.random.default_rng(0), 0.0
    while (now := now + random.exponential(1 / per_second)) < duration:
        yield now


async def _ask(session: httpx.AsyncClient, number: int, body: dict[str, Any], late: float = 0.0) -> Reply:
    started = time.perf_counter()
    reply = await session.post("/v1/solve", json=body)
    seconds = time.perf_counter() - started
    return Reply(number, reply.status_code, late, seconds, reply.headers.get("Retry-After", ""), reply.json())


def _session(url: str) -> httpx.AsyncClient:
    token = os.environ.get(TOKEN_VARIABLE)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_SECONDS, limits=limits, trust_env=False)
