"""The governor: whatever actors do and however they die, the cap and the rates hold, and nothing is stuck before."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pad_ray.errors import BudgetReached, TeacherError
from pad_ray.teacher.governor import DEAD_S, FAILURES_PER_CALL, Governor, Grant, Limits, Report, Spend
from pad_ray.teacher.money import Worst
from pad_ray.teacher.share import Share
from tests.teacher.governed_world import COMMITTED, World, most_in_a_minute

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "report", "accept", "exchange", "settle", "settle", "wait", "die"]),
        st.integers(0, 3),
        st.floats(0, 1),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(
    OPERATIONS, st.sampled_from([None, 1, 7, 100]), st.sampled_from([None, 200, 900]), st.floats(0.3, 3), st.booleans()
)
def test_spent_and_open_never_exceed_the_cap_and_the_rates_hold_whatever_happens(
    operations: list[tuple[str, int, float]], requests: int | None, tokens: int | None, cap: float, mortal: bool
) -> None:
    world = World(Limits(4, cap, requests, tokens), 4)
    for name, number, part in operations:
        actor = world.actors[number]
        match name:
            case "ask":
                world.ask(actor, Worst(0.01 + 0.2 * part, 20 + int(100 * part)))
            case "settle":
                world.settle(actor, part)
            case "wait":
                world.now += 40 * part**3
            case "die":
                actor.alive = actor.alive and not (mortal and part > 0.7)
            case "report":
                world.report(actor)
            case "accept":
                world.accept(actor)
            case "exchange":
                world.report(actor)
                world.accept(actor)
        world.check()


@pytest.mark.parametrize("seed", range(4))
def test_money_is_spent_to_the_last_call_and_then_everybody_stops(seed: int) -> None:
    dice = random.Random(seed)
    world = World(Limits(8, 2.0), 3)
    for _ in range(4000):
        for actor in world.actors:
            while len(actor.calls) + len(actor.waiting) < 4:
                world.ask(actor, Worst(dice.uniform(0.01, 0.05), 50))
            world.report(actor)
            world.accept(actor)
            world.settle(actor, dice.uniform(0.05, 0.3))
        world.now += 0.1
        world.check()
        if world.governor.stop and not any(actor.calls for actor in world.actors):
            break
    assert world.governor.stop is not None
    assert isinstance(world.governor.stop.error(), BudgetReached)
    assert "teacher.budget_usd" in str(world.governor.stop.error())
    # What is left would not have covered the largest call.
    assert COMMITTED + world.spent > 2.0 - 0.05
    for actor in world.actors:
        world.report(actor)
        world.accept(actor)
        assert actor.share.stop


def test_a_dead_actor_keeps_its_lease_counted_and_holds_nobody_up() -> None:
    world = World(Limits(8, 1.0), 2)
    dead, living = world.actors
    world.ask(dead, Worst(0.3, 10))
    world.report(dead)
    world.accept(dead)
    dead.alive = False
    for _ in range(200):
        world.ask(living, Worst(0.1, 10))
        world.report(living)
        world.accept(living)
        world.settle(living, 1.0)
        world.now += DEAD_S / 20
        world.check()
    assert world.governor.stop is not None
    assert world.spent == pytest.approx(0.4)  # of 0.75, the dead one may have spent 0.3; 0.05 is less than a call
    assert world.governor.spend().leased_usd == pytest.approx(0.3)


def drive(limits: Limits, seconds: float, *, latency: float, share_of_worst: float) -> World:
    """Two actors that always have a call waiting, for so many seconds."""
    world = World(limits, 2)
    while world.now < seconds:
        for actor in world.actors:
            while len(actor.waiting) < 3:
                world.ask(actor, Worst(0.001, 100))
            while actor.calls and actor.calls[0][1] + latency <= world.now:
                world.settle(actor, share_of_worst)
            world.report(actor)
            world.accept(actor)
        world.now += 0.1
    return world


@pytest.mark.parametrize(
    ("limits", "latency"),
    [(Limits(64, None, requests_per_minute=120), 0.5), (Limits(64, None, tokens_per_minute=12_000), 5.0)],
)
def test_a_rate_is_used_nearly_whole(limits: Limits, latency: float) -> None:
    world = drive(limits, 300.0, latency=latency, share_of_worst=0.3)
    minutes = 4  # without the first, in which all begins
    used = [(when, amount) for when, amount in world.used if when >= 60]
    if limits.requests_per_minute:
        assert len(used) >= 0.93 * minutes * limits.requests_per_minute
        assert most_in_a_minute([(when, 1) for when, _ in world.starts]) <= limits.requests_per_minute
    else:
        assert limits.tokens_per_minute is not None
        # What is in flight counts with its worst case.
        assert sum(tokens for _, tokens in used) >= 0.75 * minutes * limits.tokens_per_minute
        assert most_in_a_minute(world.used) <= limits.tokens_per_minute


def exchange(governor: Governor, actor: str = "a", **news: object) -> Grant:
    return governor.exchange(Report(actor, waiting=1, want_requests=1, **news))  # type: ignore[arg-type]


def test_one_throttled_actor_pauses_all_as_long_as_the_teacher_says() -> None:
    now = 0.0
    governor = Governor(Limits(4), lambda: now)
    exchange(governor, "b")
    assert exchange(governor, "a", throttled=True, retry_after_s=7.0).pause_s == 7.0
    now = 3.0
    assert exchange(governor, "b").pause_s == 4.0
    now = 8.0
    assert exchange(governor, "b").pause_s == 0.0


def test_refusals_without_a_time_are_waited_for_ever_longer_until_a_call_gets_through() -> None:
    now = 0.0
    governor = Governor(Limits(4), lambda: now)
    pauses = []
    for _ in range(9):
        pauses.append(exchange(governor, throttled=True).pause_s)
        # Calls that were in flight meet the same wall; that is no new one.
        assert exchange(governor, "b", throttled=True).pause_s == pauses[-1]
        now += pauses[-1]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[1], pauses[-1]) == (0.5, 1.0, 60.0)
    exchange(governor, succeeded=1)
    assert exchange(governor, throttled=True).pause_s == 0.5


def test_a_fatal_failure_of_one_actor_stops_all_with_its_sentence() -> None:
    governor = Governor(Limits(4), lambda: 0.0)
    exchange(governor, "a", failed=1, fatal=True, sentence="the key is wrong")
    stop = exchange(governor, "b").stop
    assert stop
    assert isinstance(stop.error(), TeacherError)
    assert "the key is wrong" in str(stop.error())


def test_a_teacher_that_never_answers_stops_the_run_and_one_that_sometimes_does_does_not() -> None:
    for answers in (0, 1):
        now = 0.0
        governor = Governor(Limits(4), lambda: now)  # noqa: B023
        for step in range(200):
            now = step / 2.0
            exchange(governor, failed=1, succeeded=int(step % FAILURES_PER_CALL == 0) * answers, sentence="HTTP 500")
        assert (governor.stop is not None) == (answers == 0)
        assert answers or "HTTP 500" in str(governor.stop)


def test_a_teacher_that_asks_for_patience_gets_it() -> None:
    now = 0.0
    governor = Governor(Limits(4), lambda: now)
    for step in range(30):
        now = 10.0 * step
        exchange(governor, failed=4, throttled=True, retry_after_s=9.0, sentence="HTTP 429")
        assert governor.stop is None
    now = 2000.0
    exchange(governor, failed=1, sentence="HTTP 429")
    assert governor.stop is not None


def test_calls_in_flight_are_split_over_those_who_have_something_to_do() -> None:
    now = 0.0
    governor = Governor(Limits(5), lambda: now)
    assert exchange(governor, "a").concurrency == 5
    assert [exchange(governor, name).concurrency for name in "ab"] == [5, 2]
    assert exchange(governor, "a").concurrency == 3
    governor.exchange(Report("b"))  # it has nothing to do any more
    assert exchange(governor, "a").concurrency == 5
    exchange(governor, "b")
    now = DEAD_S + 1
    assert exchange(governor, "a").concurrency == 5


def test_without_limits_nothing_is_ever_waited_for() -> None:
    share = Share("a")
    governor = Governor(Limits(4), lambda: 0.0)
    call = Worst(5.0, 1000)
    assert not share.take(call, 0.0)
    share.accept(governor.exchange(share.report(0.0, [call])), 0.0)
    assert all(share.take(call, 100.0) for _ in range(1000))
    assert math.isfinite(share.report(100.0, []).spent_usd)


def test_when_all_actors_have_ended_their_leases_are_free_again_and_the_rates_go_on() -> None:
    governor = Governor(Limits(4, 1.0, requests_per_minute=10), lambda: 0.0)
    asked = Report("a", waiting=9, next_usd=0.1, next_tokens=1, want_usd=0.9, want_requests=9, want_tokens=9)
    first = governor.exchange(asked)
    assert first.usd > 0.15
    governor.start_over(0.85)
    assert governor.spend() == Spend()
    second = governor.exchange(replace(asked, actor="b"))
    assert governor.stop is None
    assert 0.1 <= second.usd <= 0.15
    assert first.requests + second.requests <= 10
