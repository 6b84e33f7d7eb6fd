"""A sampler's side of the limits, in one event loop with a governor: who waits is served, refused or let go."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from pad_ray.errors import BudgetReached, TeacherError
from pad_ray.flow.governing import LeasedAllowance
from pad_ray.teacher.governor import Governor, Grant, Limits, Report

MAX_S = 20.0


class Office:
    """A governor behind a short way, as behind a remote call, and what really was open and spent."""

    def __init__(self, limits: Limits) -> None:
        self.governor = Governor(limits, time.monotonic)
        self.shares: dict[str, int] = {}
        self.open = self.spent = self.most = 0.0
        self.calls = 0

    async def exchange(self, report: Report) -> Grant:
        await asyncio.sleep(0.002)
        grant = self.governor.exchange(report)
        await asyncio.sleep(0.002)
        return grant

    def allowance(self, name: str) -> LeasedAllowance:
        return LeasedAllowance(name, self.exchange, lambda share: self.shares.update({name: share}))

    async def call(self, allowance: LeasedAllowance, usd: float = 0.1, part: float = 0.5) -> None:
        await allowance.reserve(usd, 100)
        self.calls += 1
        self.open += usd
        self.most = max(self.most, self.open + self.spent)
        await asyncio.sleep(0.005)
        self.open -= usd
        self.spent += usd * part
        allowance.settle(usd, 100, spent_usd=usd * part, used_tokens=50)
        allowance.succeeded()


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, MAX_S))


def test_samplers_spend_to_the_cap_together_and_then_all_are_refused() -> None:
    async def work() -> tuple[Office, list[Any]]:
        office = Office(Limits(8, cap_usd=3.0))
        allowances = [office.allowance(name) for name in ("a", "b")]
        calls = [office.call(allowances[number % 2]) for number in range(100)]
        return office, await asyncio.gather(*calls, return_exceptions=True)

    office, ended = run(work())
    assert office.most <= 3.0 + 1e-9
    assert office.spent > 3.0 - 0.1 - 1e-9
    refused = [error for error in ended if error is not None]
    assert all(isinstance(error, BudgetReached) for error in refused)
    assert office.calls + len(refused) == 100
    assert office.shares == {"a": 4, "b": 4}


def test_without_a_cap_all_calls_go_through() -> None:
    async def work() -> Office:
        office = Office(Limits(8))
        await asyncio.gather(*(office.call(allowance) for allowance in [office.allowance("a")] for _ in range(200)))
        return office

    assert run(work()).calls == 200


def test_a_fatal_failure_reaches_a_sampler_that_only_waits() -> None:
    async def work() -> None:
        office = Office(Limits(8, requests_per_minute=1))
        one, other = office.allowance("a"), office.allowance("b")
        await office.call(one)
        waiting = asyncio.create_task(office.call(other))
        one.failed("the key is wrong", fatal=True)
        await one.tell()
        with pytest.raises(TeacherError, match="the key is wrong"):
            await waiting

    run(work())


def test_a_call_that_is_given_up_while_it_waits_holds_nothing_back() -> None:
    async def work() -> Office:
        office = Office(Limits(8, cap_usd=0.1))
        allowance = office.allowance("a")
        await allowance.reserve(0.1, 100)
        waiting = asyncio.create_task(office.call(allowance))
        await asyncio.sleep(0.05)
        waiting.cancel()
        allowance.settle(0.1, 100, spent_usd=0.0, used_tokens=0)
        await office.call(allowance)
        await allowance.tell()
        return office

    office = run(work())
    assert office.calls == 1
    assert office.governor.spend().usd == pytest.approx(0.05)


def test_without_its_governor_a_sampler_starts_nothing() -> None:
    async def gone(_: Report) -> Grant:
        raise ActorDiedError

    async def work() -> None:
        with pytest.raises(TeacherError, match="has died"):
            await LeasedAllowance("a", gone, lambda _: None).reserve(0.1, 100)

    run(work())
