"""What a form of reasoning needs executed goes to an Executor, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution
from pad_ray.thoughts import THOUGHTS
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
    return asyncio.run(concluded(handle, THOUGHTS[thought], list(texts)))


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
