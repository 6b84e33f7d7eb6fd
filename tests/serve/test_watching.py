"""Watching changes nothing but what is seen: the steps are those of the chosen program, the answer is the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.decode.answering import Ask, Choice, Draft
from pad_ray.decode.stepwise import Standing
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.sandbox import Execution, Sandbox
from serve.admission import Admission
from serve.replies import Unavailable
from serve.stepping import cut
from serve.watching import Event, watch, watch_search

EGGS = '''import math

def solution():
    """Eggs."""
    rows = 3
    eggs: int = rows * 4
    eggs += math.floor(
        1.5
    )
    for _ in range(2):
        eggs += 1
    return eggs
'''
FAILS = "def solution():\n    a = 1\n    b = a / 0\n    c = 2\n    return c\n"


def test_a_program_is_cut_after_each_statement() -> None:
    steps = cut(EGGS)
    assert [step.code.split("\n")[0] for step in steps] == [
        "rows = 3",
        "eggs: int = rows * 4",
        "eggs += math.floor(",
        "for _ in range(2):",
        "return eggs",
    ]
    assert [step.shows for step in steps] == [True, True, True, False, True]
    values: list[Any] = []
    for step in steps:
        scope: dict[str, Any] = {}
        exec(step.program or EGGS, scope)
        values.append(scope["solution"]())
    assert values == [3, 12, 13, True, 15]


@pytest.mark.parametrize(
    "program",
    [
        *("", "answer = 3", "def solution(:", "def solution(): return 1", "def solution():\n    a = 1; return a\n"),
        "def solution():\n" + "    a = 1\n" * 50,
        "x" * 100_000 + "(" * 5000,
    ],
)
def test_what_cannot_be_cut_has_no_steps(program: str) -> None:
    assert cut(program) == []


@given(st.text())
def test_no_text_makes_the_cutting_fail(text: str) -> None:
    cut(text)
    cut(f"def solution():\n    {text}\n    return 1")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(timeout_s=2.0) as box:
        yield box


def seen(box: Sandbox | None, *programs: str | None) -> list[Event]:
    """The events of a question for which a student wrote these programs; None: a reply that was cut off."""
    drafts = [Draft(text or "", None if text else Outcome.TRUNCATED, 5) for text in programs]
    ask = Ask("q", Decode(kind="vote" if len(programs) > 1 else "greedy", samples=len(programs)))

    async def write() -> list[Draft]:
        return drafts

    async def run(drafts: list[Draft]) -> list[Execution]:
        if box is None:
            return [Execution(Outcome.SANDBOX_ERROR) for _ in drafts]
        return await asyncio.to_thread(box.run, [draft.program for draft in drafts], "solo")

    async def collect() -> list[Event]:
        return [event async for event in watch(ask, write, run)]

    return asyncio.run(collect())


def test_each_step_is_shown_with_the_value_it_set_and_the_answer_comes_last(box: Sandbox) -> None:
    events = seen(box, EGGS)
    assert [event.name for event in events] == ["accepted", "program", *["step"] * 5, "answer"]
    steps = [event.data for event in events if event.name == "step"]
    assert [(step["state"], step["value"]) for step in steps] == [
        *(("ran", "3"), ("ran", "12"), ("ran", "13")),
        *(("ran", None), ("ran", "15")),
    ]
    assert events[-1].data["answer"] == "15"


def test_the_step_that_fails_is_found_and_none_after_it_claims_to_have_run(box: Sandbox) -> None:
    events = seen(box, FAILS)
    steps = [event.data for event in events if event.name == "step"]
    assert [step["state"] for step in steps] == ["ran", "failed", "not_run", "not_run"]
    assert "ZeroDivisionError" in steps[1]["detail"]
    assert (events[-1].data["answer"], events[-1].data["outcome"]) == (None, "runtime_error")


def test_of_several_programs_each_is_told_once_and_the_steps_are_those_of_the_winner(box: Sandbox) -> None:
    events = seen(box, FAILS, EGGS, None, "def solution():\n    return 15\n")
    told = sorted((event.data["number"], event.data["outcome"]) for event in events if event.name == "program")
    assert told == [(0, "runtime_error"), (1, "ok"), (2, "truncated"), (3, "ok")]
    assert next(event.data["code"] for event in events if event.name == "step") == "rows = 3"
    assert events[-1].data["votes"] == {"15": 2}


def test_a_reply_without_a_program_has_no_steps(box: Sandbox) -> None:
    assert [event.name for event in seen(box, None)] == ["accepted", "program", "answer"]


def searched(box: Sandbox, *found: Standing | Choice) -> list[Event]:
    """The events of a question that was searched for, with this outcome."""

    async def search() -> AsyncGenerator[Standing | Choice, None]:
        for one in found:
            yield one

    async def run(drafts: list[Draft]) -> list[Execution]:
        return await asyncio.to_thread(box.run, [draft.program for draft in drafts], "solo")

    async def collect() -> list[Event]:
        return [event async for event in watch_search(Ask("q", Decode(kind="beam")), search(), run)]

    return asyncio.run(collect())


def test_a_search_is_shown_path_by_path_then_by_the_steps_of_what_it_came_to(box: Sandbox) -> None:
    choice = Choice("15", Draft(EGGS, None, 30, 9), Execution(Outcome.OK, "15"), {"15": 2}, 90)
    events = searched(box, Standing("rows = 3\n", 4, 0, 20), Standing(EGGS, 2, 1, 60), choice)
    assert [event.name for event in events] == ["accepted", "path", "path", "program", *["step"] * 5, "answer"]
    assert (events[0].data["samples"], events[1].data["program"]) == (16, "rows = 3\n")
    assert (events[-1].data["answer"], events[-1].data["tokens"]) == ("15", 90)


def test_a_sandbox_that_fails_is_no_verdict() -> None:
    with pytest.raises(Unavailable):
        seen(None, EGGS)


def test_a_request_is_let_in_whole_or_not_at_all_and_leaves_its_room() -> None:
    door = Admission(10)
    with door.enter(6):
        with pytest.raises(Unavailable, match="full"), door.enter(5):
            raise AssertionError("there was no room")
        with door.enter(4):
            assert door.inside == 10
    assert door.inside == 0
    with pytest.raises(ValueError), door.enter(6):
        raise ValueError
    assert door.inside == 0


def test_an_idle_service_lets_in_a_request_of_any_size() -> None:
    with Admission(10).enter(32):
        pass


def test_a_service_that_ends_lets_nobody_in_and_waits_for_those_inside() -> None:
    async def end() -> list[str]:
        door, seen = Admission(10), list[str]()
        with door.enter(1):
            ending = asyncio.ensure_future(door.drain(60))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="ending"), door.enter(1):
                raise AssertionError("it was let in")
            seen.append("inside" if not ending.done() else "left alone")
        await ending
        return seen

    assert asyncio.run(end()) == ["inside"]
