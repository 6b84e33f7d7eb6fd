"""How the tests ask a fault server: requests, an allowance that keeps books, and one call that asks them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pad_ray.errors import BudgetReached, TeacherError
from pad_ray.records import Message, Request, Sample
from pad_ray.teacher.cache import Cache
from pad_ray.teacher.endpoint import EndpointTeacher
from pad_ray.teacher.money import Price
from pad_ray.teacher.pace import Pace
from tests.fault_server import Running

PRICE = Price(2.0, 8.0, 1.0)


class Books:
    """An allowance in one process: at most so many calls, one cool-down, and a record of everything."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._refused = ""
        self._until = 0.0
        self.spent = self.open = 0.0
        self.starts, self.pauses, self.told_at = list[float](), list[float | None](), list[float]()

    async def reserve(self, usd: float, tokens: int) -> None:
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        if self._refused:
            raise TeacherError(self._refused)
        if self._most is not None and len(self.starts) >= self._most:
            raise BudgetReached("teacher.budget_usd is reached.")
        self.open += usd
        self.starts.append(time.monotonic())

    def settle(self, usd: float, tokens: int, *, spent_usd: float, used_tokens: int) -> None:
        self.open -= usd
        self.spent += spent_usd

    def throttled(self, retry_after_s: float | None) -> None:
        self.pauses.append(retry_after_s)
        self.told_at.append(time.monotonic())
        self._until = time.monotonic() + (retry_after_s or 0.0)

    def succeeded(self) -> None:
        pass

    def failed(self, sentence: str, *, fatal: bool) -> None:
        self._refused = sentence if fatal else self._refused


def request(number: int, text: str, *, k: int = 0, max_tokens: int = 64) -> Request:
    """A request with a prompt that begins like all others."""
    messages = (Message("system", "Reply with a program."), Message("user", f"Q: {text}"))
    return Request(f"p{number}#program.r0.k{k}", f"p{number}", k, messages, "m", 0.7, max_tokens, 100 * number + k)


def teacher(
    server: Running, books: Books, key: str = "", *, ceiling: float = 8, cache: Cache | None = None, **seconds: float
) -> EndpointTeacher:
    """A teacher that asks the server."""
    seconds = {"timeout_s": 30.0, "deadline_s": 60.0} | seconds
    return EndpointTeacher(
        server.url, key, prices={"m": PRICE}, allowance=books, pace=Pace(int(ceiling)), cache=cache, **seconds
    )


async def ask(
    asked: EndpointTeacher, requests: Sequence[Request], told: dict[str, float] | None = None
) -> AsyncGenerator[Sample]:
    """The samples as they come; `told` is filled with what was told before the calls, in dollars by sample."""

    def reserved(request: Request, usd: float, tokens: int) -> None:
        if told is not None:
            told[request.sample_id] = told.get(request.sample_id, 0.0) + usd

    try:
        async for sample in asked.sample(requests, reserved):
            yield sample
    finally:
        await asked.close()


def ask_all(
    server: Running,
    requests: Sequence[Request],
    books: Books,
    key: str = "",
    *,
    into: list[Sample] | None = None,
    told: dict[str, float] | None = None,
    cache: Cache | None = None,
    **options: float,
) -> dict[str, Sample]:
    """The samples by id, also collected in `into`; a sample that comes twice fails."""
    found = into if into is not None else []

    async def collect() -> None:
        async with aclosing(ask(teacher(server, books, key, cache=cache, **options), requests, told)) as samples:
            async for sample in samples:
                found.append(sample)

    asyncio.run(collect())
    by_id = {sample.sample_id: sample for sample in found}
    assert len(by_id) == len(found)
    return by_id
