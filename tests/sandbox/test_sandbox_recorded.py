"""10,092 programs that a real teacher wrote, executed and judged as another executor did, but for named differences.

The recording (code-davinci-002 on evaluation questions: a fixture, never training data) holds for each program the
variable with the answer, and what the other executor made of it: 2 s, |result − gold| ≤ max(1e-3, 1e-6·|gold|), and
only a lone number is an answer.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pad_ray.grading import judge
from pad_ray.grading.verdict import Judgement
from pad_ray.sandbox import Execution, Sandbox

NAME = "recorded_teacher_programs_codex_test_dev.jsonl"
DIFFERENCES = {"several values, none of which is the answer": 26, "a truth value for a number": 1}
ERRORS = ("runtime_error", "syntax_error")


class Case(NamedTuple):
    """A recorded row, and what we made of its program."""

    row: dict[str, Any]
    execution: Execution
    judgement: Judgement


@pytest.fixture(scope="module")
def cases(shared_data: Path) -> list[Case]:
    if not (shared_data / NAME).exists():
        pytest.skip(f"the recording {NAME} is not beside this checkout")
    with (shared_data / NAME).open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    with Sandbox(level="unsafe", timeout_s=2.0, confirm=True) as box:
        if not {"numpy", "sympy"} <= set(_science(box)):
            pytest.skip("a seventh of the programs import numpy or sympy, and they are not installed")
        executions = box.run([row["program"] for row in rows], entry=[row["entry"] for row in rows])
        assert box.restarts == 0
    return [
        Case(row, execution, judge(execution, row["answer"])) for row, execution in zip(rows, executions, strict=True)
    ]


def _science(box: Sandbox) -> list[str]:
    box.run(["import numpy"])
    return box.report["science"]


def difference(case: Case) -> str:
    """Why we call a program something else than the recording does; '' if nothing explains it."""
    theirs, ours = case.row["verdict"], case.judgement.outcome.value
    if (theirs, ours) == ("no_answer", "wrong_answer"):
        returned = case.row["detail"].removeprefix("non-numeric return ")
        if returned.startswith(("tuple", "ndarray")) and case.execution.value.startswith("["):
            return "several values, none of which is the answer"
        if returned.startswith("bool") and case.execution.value in ("True", "False"):
            return "a truth value for a number"
    return ""


@pytest.mark.slow
def test_every_verdict_is_the_recorded_one_or_differs_for_a_named_reason(cases: list[Case]) -> None:
    other = [case for case in cases if case.judgement.outcome.value != case.row["verdict"]]
    unexplained = [(case.row["id"], case.row["verdict"], case.execution) for case in other if not difference(case)]
    assert unexplained == []
    assert Counter(map(difference, other)) == DIFFERENCES
    assert len(cases) == 10_092


@pytest.mark.slow
def test_every_number_is_the_recorded_number(cases: list[Case]) -> None:
    numbers = [case for case in cases if case.row["result"] is not None]
    assert len(numbers) == 9_807
    for row, execution, _ in numbers:
        assert math.isclose(float(Fraction(execution.value)), row["result"], rel_tol=1e-12, abs_tol=1e-12), row["id"]


@pytest.mark.slow
def test_every_exception_is_the_recorded_exception(cases: list[Case]) -> None:
    failed = [case for case in cases if case.row["verdict"] in ERRORS]
    assert len(failed) == 127
    for row, execution, _ in failed:
        assert execution.detail.split(":")[0] == row["detail"].split(":")[0], row["id"]
