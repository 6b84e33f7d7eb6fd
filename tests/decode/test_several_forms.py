"""A student of several forms answers in each, the values vote, and where they differ what is computed is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.decode.answering import Ask, Draft, answer_of, choose
from pad_ray.decode.engine import Completion
from pad_ray.decode.solving import solve
from pad_ray.errors import RecipeError, StudentError, UsageError
from pad_ray.outcomes import Outcome
from pad_ray.reasoner import student_thoughts
from pad_ray.recipe import Decode
from pad_ray.recipe_file import load_recipe
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.several import named
from tests.decode.typist import Runner

FORMS = named(["chain", "program", "equation"])
PROGRAM, EQUATION = "def solution():\n    return {}\n", "x = {}\nans = x\n"


class Writer:
    """An engine that writes what it was told for the last line of a prompt."""

    def __init__(self, **replies: str) -> None:
        self.replies, self.calls = replies, 0

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        self.calls += 1
        texts = [self.replies[prompt.rstrip().rpartition("\n")[2].rstrip(":")] for prompt in prompts]
        return [Completion(text, "stop", 1, 1) for text in texts]


def solver(programs: Sequence[str]) -> list[Execution]:
    """Runs programs; of what solves equations it reads the number."""
    solved = [program for program in programs if "sympy" in program]
    return [Execution(Outcome.OK, program.split("number('")[1].split("'")[0]) for program in solved] or Runner()(
        programs
    )


def answered(**replies: str) -> Any:
    [choice] = solve(Writer(**replies), solver, FORMS, [Ask("How many?", Decode())])
    return choice


@pytest.mark.parametrize(
    ("program", "equation", "chain", "answer", "votes"),
    [
        ("7", "7", "8", "7", {"7": 2, "8": 1}),
        ("6", "7", "7", "7", {"6": 1, "7": 2}),
        ("6", "7", "8", "6", {"6": 1, "7": 1, "8": 1}),
        ("1 / 0", "7", "8", "7", {"7": 1, "8": 1}),
        ("1 / 0", "", "8", "8", {"8": 1}),
        ("1 / 0", "", "", None, {}),
    ],
)
def test_most_votes_win_and_then_program_equation_chain(
    program: str, equation: str, chain: str, answer: str | None, votes: dict[str, int]
) -> None:
    choice = answered(
        Program=PROGRAM.format(program),
        Equations=EQUATION.format(equation) if equation else "",
        Solution=f"So.\n#### {chain}\n" if chain else "",
    )
    assert (choice.answer, choice.votes) == (answer, votes)
    alone = [end.value if end.outcome is Outcome.OK else "" for end in choice.alone]
    assert alone == ["" if "/" in program else program, equation, chain]


def test_the_answer_shows_the_text_that_won_and_steps_only_of_a_program() -> None:
    told = {"Program": PROGRAM.format(6), "Equations": EQUATION.format(7), "Solution": "#### 7\n"}
    equations = answer_of(answered(**told), 0.1, FORMS)
    assert equations.program == told["Equations"] and {step["state"] for step in equations.steps} == {"not_run"}
    program = answer_of(answered(**{**told, "Solution": "#### 6\n"}), 0.1, FORMS)
    assert program.program == told["Program"] and {step["state"] for step in program.steps} == {"ran"}


def test_all_forms_of_all_questions_are_written_in_one_call_and_those_in_steps_by_themselves() -> None:
    writer = Writer(Program=PROGRAM.format(1), Equations=EQUATION.format(1), Solution="#### 1\n")
    solve(writer, solver, FORMS, [Ask("a?", Decode(kind="vote", samples=3)), Ask("b?", Decode(kind="vote", samples=3))])
    assert writer.calls == 1


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=3, max_size=9).filter(lambda some: len(some) % 3 == 0))
def test_what_is_chosen_has_most_votes_and_stands_first_among_those(values: list[str | None]) -> None:
    size = len(values) // 3
    drafts = [Draft(f"{form}{number}", None, 1, 0, form) for form, number in product(range(3), range(size))]
    choice = choose(drafts, [Execution(Outcome.OK, one) if one else Execution(Outcome.TIMEOUT) for one in values])
    said = [one for one in values if one]
    most = max(map(said.count, said), default=0)
    best = [one for one in said if said.count(one) == most]
    assert choice.answer == (best[0] if best else None)
    assert choice.draft is drafts[values.index(best[0]) if best else 0]
    assert len(choice.alone) == 3


def test_beams_and_repairs_are_refused() -> None:
    for decode in (Decode(kind="beam"), Decode(repairs=1)):
        with pytest.raises(UsageError, match="solutions"):
            solve(Writer(), solver, FORMS, [Ask("How many?", decode)])


def test_forms_are_believed_in_one_order_however_they_are_listed() -> None:
    names = ["program", "equation", "chain", "socratic"]
    shuffled = Random(0).sample(names, 4)
    assert named(shuffled) == tuple(THOUGHTS[name] for name in names)


@pytest.mark.parametrize("thought", [[], ["program", "prose"], 3, ["program", 3]])
def test_a_card_with_forms_that_nobody_knows_is_refused(thought: Any, tmp_path: Path) -> None:
    (tmp_path / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": thought}))
    with pytest.raises(StudentError):
        student_thoughts(tmp_path)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("thought=[program]", "thought"),
        ("thought=[program,program]", "names a form twice"),
        ("thought=[program,prose]", "prose"),
        ("decode.kind=beam", "decode.kind"),
        ("refine.injected=0.5", "refine.injected"),
        ("evaluate.baselines=[few_shot]", "evaluate.baselines"),
        ("teacher={kind: recorded, path: x.jsonl}", "teacher.kind"),
        ("teacher.exemplars=x.jsonl", "teacher.exemplars"),
        ("budget.minutes=5", "budget.minutes"),
    ],
)
def test_what_goes_with_one_form_only_is_refused_by_its_key(override: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe("ensemble", [override])
