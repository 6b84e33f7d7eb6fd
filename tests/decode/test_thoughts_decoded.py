"""Every form of reasoning is decoded by the same code: written, concluded in its own way, voted on, mended or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pad_ray.decode.answering import Ask, answer_of
from pad_ray.decode.solving import solve
from pad_ray.errors import UsageError
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import THOUGHTS
from tests.decode.typist import Typist


class Solver:
    """Stands in for the sandbox: it says what it was told to, and remembers what it was given."""

    def __init__(self, *ends: Execution) -> None:
        self.ends, self.programs = ends, list[str]()

    def __call__(self, programs: Sequence[str]) -> list[Execution]:
        self.programs += programs
        return list(self.ends)


def asks(**settings: object) -> list[Ask]:
    return [Ask("How many?", Decode.model_validate(settings))]


def test_a_chain_is_read_and_nothing_is_executed() -> None:
    engine, box = Typist({"": [("3 + 4 = 7\n#### 7\n", -1.0)]}), Solver()
    [choice] = solve(engine, box, THOUGHTS["chain"], asks(kind="greedy"))
    assert (choice.answer, choice.execution.outcome) == ("7", Outcome.OK)
    assert choice.draft.program == "3 + 4 = 7\n#### 7\n"
    assert engine.calls == [["Question: How many?\nSolution:\n"]] and box.programs == []


def test_chains_vote() -> None:
    engine = Typist({"": [("#### 7", -1.0), ("So #### 7.0", -1.0), ("#### 8", -1.0)]})
    [choice] = solve(engine, Solver(), THOUGHTS["chain"], asks(kind="vote", samples=32))
    assert choice.answer in ("7", "7.0") and sum(choice.votes.values()) == 32 and len(choice.votes) == 2


def test_a_chain_without_an_answer_is_no_answer() -> None:
    [choice] = solve(Typist({"": [("I do not know", -1.0)]}), Solver(), THOUGHTS["chain"], asks(kind="greedy"))
    assert (choice.answer, choice.execution.outcome) == (None, Outcome.NO_ANSWER)


@pytest.mark.parametrize("thought", ["chain", "equation"])
@pytest.mark.parametrize(("settings", "said"), [({"kind": "beam"}, "beams execute"), ({"repairs": 3}, "interpreter")])
def test_what_only_programs_can_be_decoded_by_is_refused_before_anything_is_written(
    thought: str, settings: dict[str, Any], said: str
) -> None:
    engine = Typist({"": []})
    with pytest.raises(UsageError, match=rf"{said}.*{THOUGHTS[thought].NAMES[1]}") as refused:
        solve(engine, Solver(), THOUGHTS[thought], asks(**settings))
    assert "greedy" in refused.value.hint and engine.calls == []


def test_no_line_of_what_is_not_executed_line_by_line_is_said_to_have_run() -> None:
    engine = Typist({"": [("eggs = 3 + 4\nans = eggs\n", -1.0)]})
    box = Solver(Execution(Outcome.OK, "7"))
    [choice] = solve(engine, box, THOUGHTS["equation"], asks(kind="greedy"))
    assert {step["state"] for step in answer_of(choice, 0.1, THOUGHTS["chain"]).steps} == {"not_run"}


def test_equations_go_to_the_sandbox_as_a_program_that_solves_them() -> None:
    engine, box = Typist({"": [("x + 4 = 11\nans = x\n", -1.0)]}), Solver(Execution(Outcome.OK, "7"))
    [choice] = solve(engine, box, THOUGHTS["equation"], asks(kind="greedy"))
    assert choice.answer == "7" and choice.draft.program == "x + 4 = 11\nans = x\n"
    assert len(box.programs) == 1 and "import sympy" in box.programs[0]


def test_a_system_without_exactly_one_solution_gives_no_answer() -> None:
    engine, box = Typist({"": [("x * x = 9\nans = x\n", -1.0)]}), Solver(Execution(Outcome.OK, "several solutions"))
    [choice] = solve(engine, box, THOUGHTS["equation"], asks(kind="greedy"))
    assert choice.answer is None and choice.votes == {}
    assert choice.execution == Execution(Outcome.NO_ANSWER, detail="several solutions")
