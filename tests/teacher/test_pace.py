"""Calls in flight: how the limit finds its level, and that the gate keeps it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pad_ray.teacher.pace import COOL_DOWN_S, Pace, Window


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_limit_begins_at_what_the_recipe_asks_for_and_halves_at_a_complaint() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    assert window.limit == 64
    window.throttled(clock.now)
    assert window.limit == 32


def test_many_complaints_in_one_cool_down_halve_once() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    for _ in range(50):
        window.throttled(clock.now)
    assert window.limit == 32
    clock.now += COOL_DOWN_S
    window.throttled(clock.now)
    assert window.limit == 16


def test_a_retry_after_lengthens_the_cool_down() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    window.throttled(clock.now, retry_after_s=60)
    clock.now += 59
    window.throttled(clock.now)
    assert window.limit == 32


def test_calls_that_began_before_a_halving_cause_no_other() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    began = clock.now
    clock.now += 1
    window.throttled(began)
    clock.now += 10 * COOL_DOWN_S
    window.throttled(began)
    assert window.limit == 32


def test_a_window_of_successes_raises_the_limit_by_a_step_up_to_the_ceiling() -> None:
    clock = Clock()
    window = Window(64, clock=clock)
    window.throttled(clock.now)
    for _ in range(31):
        window.succeeded()
    assert window.limit == 32
    window.succeeded()
    assert window.limit == 36
    for _ in range(1000):
        window.succeeded()
    assert window.limit == 64


def test_another_ceiling_moves_a_limit_that_stood_at_the_old_one_and_caps_any_other() -> None:
    clock = Clock()
    window = Window(32, clock=clock)
    window.cap(64)
    assert window.limit == 64
    window.throttled(clock.now)
    window.cap(128)
    assert window.limit == 32
    window.cap(16)
    assert window.limit == 16


def test_a_higher_ceiling_admits_those_that_wait() -> None:
    async def play() -> int:
        pace, most = Pace(1), 0

        async def call() -> None:
            nonlocal most
            async with pace.slot():
                most = max(most, pace.in_flight)
                await asyncio.sleep(0.01)

        calls = [asyncio.create_task(call()) for _ in range(4)]
        await asyncio.sleep(0)
        pace.cap(4)
        await asyncio.gather(*calls)
        return most

    assert asyncio.run(play()) == 4


@given(st.integers(1, 300), st.lists(st.sampled_from(["well", "complaint", "later"]), max_size=300))
def test_the_limit_stays_between_one_and_the_ceiling_whatever_happens(ceiling: int, events: list[str]) -> None:
    clock = Clock()
    window = Window(ceiling, clock=clock)
    for event in events:
        if event == "well":
            window.succeeded()
        elif event == "complaint":
            window.throttled(clock.now)
        clock.now += COOL_DOWN_S if event == "later" else 0.1
        assert 1 <= window.limit <= ceiling


def test_never_more_calls_are_let_through_than_the_limit() -> None:
    async def calls() -> int:
        pace, most = Pace(3), 0

        async def call() -> None:
            nonlocal most
            async with pace.slot():
                most = max(most, pace.in_flight)
                await asyncio.sleep(0)

        await asyncio.gather(*(call() for _ in range(20)))
        assert pace.in_flight == 0
        return most

    assert asyncio.run(calls()) == 3


def test_a_call_that_tries_again_goes_before_those_that_have_not_begun() -> None:
    async def order() -> list[str]:
        pace, entered = Pace(1), list[str]()

        async def call(name: str, again: bool) -> None:
            async with pace.slot(again=again):
                entered.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(call("first", False), call("new", False), call("retry", True))
        return entered

    assert asyncio.run(order()) == ["first", "retry", "new"]


def test_a_call_that_is_given_up_while_it_waits_takes_no_place_with_it() -> None:
    async def play() -> None:
        pace = Pace(1)

        async def call() -> None:
            async with pace.slot():
                await asyncio.sleep(0)

        async with pace.slot():
            calls = [asyncio.create_task(call()) for _ in range(3)]
            await asyncio.sleep(0)
            calls[0].cancel()
            await asyncio.sleep(0)
            calls[1].cancel()  # at the moment in which the place would be its own
        calls[2].cancel()  # at the moment in which it was given its place
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends)
        assert pace.in_flight == 0
        await asyncio.wait_for(call(), 1)

    asyncio.run(play())
