"""What a form of reasoning needs executed goes to an Executor, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pad_ray.decode.answering import Draft
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.several import named
from serve.calls import concluded


class Handle:
    """As much of a deployment's handle as it takes: its programs give one value each, in order."""

    def __init__(self, *values: str) -> None:
        self.values, self.programs = values, list[str]()
        self.run = self

    async def remote(self, programs: list[str]) -> list[Execution]:
        self.programs += programs
        return [Execution(Outcome.OK, value) for value in self.values]


def ends(handle: Any, thought: str, *texts: str) -> list[Execution]:
    return asyncio.run(concluded(handle, THOUGHTS[thought], [Draft(text, None, 1) for text in texts]))


def test_programs_are_executed_as_they_are() -> None:
    handle = Handle("7", "8")
    assert [end.value for end in ends(handle, "program", "a", "b")] == ["7", "8"]
    assert handle.programs == ["a", "b"]


def test_chains_are_read_and_nobody_is_asked() -> None:
    handle = Handle()
    assert [end.value for end in ends(handle, "chain", "#### 7\n", "#### 8\n")] == ["7", "8"]
    assert handle.programs == []


@pytest.mark.parametrize(("said", "outcome"), [("7", Outcome.OK), ("several solutions", Outcome.NO_ANSWER)])
def test_equations_are_solved_by_a_program_and_judged_by_what_it_says(said: str, outcome: Outcome) -> None:
    handle = Handle(said)
    [end] = ends(handle, "equation", "x = 3 + 4\nans = x\n")
    assert end.outcome is outcome and len(handle.programs) == 1 and "import sympy" in handle.programs[0]


def test_several_forms_are_executed_in_one_call_and_each_gets_its_own_end() -> None:
    handle = Handle("7", "8")
    thoughts = named(["chain", "equation", "program"])
    drafts = [
        Draft("def solution(): ...", None, 1, form=0),
        Draft("cut", Outcome.TRUNCATED, 1, form=1),
        Draft("x = 3 + 5\nans = x\n", None, 1, form=1),
        Draft("#### 9\n", None, 1, form=2),
    ]
    assert [end.value for end in asyncio.run(concluded(handle, thoughts, drafts))] == ["7", "8", "9"]  # type: ignore[arg-type]
    assert len(handle.programs) == 2
