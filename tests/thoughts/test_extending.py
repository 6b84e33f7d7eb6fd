"""The thought in docs/extending.md is a whole one: it parses, runs, is right, and teaches the form of all students."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pad_ray.curate.select import candidates
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Verdict
from pad_ray.sandbox import Sandbox
from pad_ray.thoughts import program
from pad_ray.thoughts.protocol import Thought

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "extending.md").read_text(encoding="utf-8")
EGGS = Problem("eggs", "A box holds 5 rows of 6 eggs. How many eggs?", "30")


@pytest.fixture(scope="module")
def expression() -> Any:
    found = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL)
    assert found
    module = ModuleType("expression")
    exec(compile(found[1], "docs/extending.md", "exec"), module.__dict__)
    return module


def test_a_reply_becomes_a_program_that_is_executed_judged_and_taught(expression: Any) -> None:
    parsed = expression.parse("5 * 6\n")
    with Sandbox(level="unsafe", timeout_s=5) as box:
        outcome, value, _ = judge(box.run([parsed.program])[0], EGGS.answer)
    assert (outcome, value) == (Outcome.CORRECT, "30")
    verdict = Verdict("eggs#expression.r0.k0", parsed.program, outcome)
    [taught] = candidates(expression, [(EGGS, verdict, "")], {}, 4000, Counter())
    assert taught.program == "def solution():\n    return 5 * 6\n"
    assert expression.parse(taught.program) == program.parse(taught.program)


def test_what_is_cut_or_no_answer_is_named_so(expression: Any) -> None:
    assert expression.parse("5 *", "length").outcome is Outcome.TRUNCATED
    assert expression.parse("5 * 6", "length").outcome is Outcome.TRUNCATED
    assert expression.parse("I cannot say.").outcome is Outcome.REFUSED


def test_it_has_the_functions_that_the_page_lists_with_the_parameters_of_program(expression: Any) -> None:
    listed = re.findall(r"^\| `(\w+)\((.+?)\)` \|", PAGE, re.MULTILINE)
    offered = {name for name in vars(Thought) if not name.startswith("_")}
    assert {name for name, _ in listed} == offered
    assert all(hasattr(expression, name) for name in (*offered, *Thought.__annotations__))
    for name, parameters in listed:
        for module in (expression, program):
            assert ", ".join(inspect.signature(getattr(module, name)).parameters) == parameters


def test_the_places_that_get_its_name_are_as_the_page_quotes_them() -> None:
    for path, line in re.findall(r"^- `(pad_ray/[\w/]+\.py)`: `(.+?)` gets", PAGE, re.MULTILINE):
        assert line in (REPO / path).read_text(encoding="utf-8")
    rooms = re.findall(r"`((?:curate|problems|teacher|flow|refine|decode)/\w+\.py)`", PAGE)
    assert rooms and all((REPO / "pad_ray" / room).is_file() for room in rooms)
