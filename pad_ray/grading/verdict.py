"""From what a program did to what that means: the last step of judging, where the gold answer is first seen."""

from __future__ import annotations

from typing import NamedTuple

from pad_ray.grading.compare import Comparison, compare
from pad_ray.outcomes import Outcome
from pad_ray.sandbox.execution import Execution

MEANING = {
    Comparison.EQUAL: Outcome.CORRECT,
    Comparison.DIFFERENT: Outcome.WRONG_ANSWER,
    Comparison.UNDECIDED: Outcome.UNDECIDED,
}


class Judgement(NamedTuple):
    """Outcome, value and detail, as they go into a Verdict."""

    outcome: Outcome
    """What became of the program."""
    value: str | None
    """Its value as canonical text, or None where it gave none."""
    detail: str
    """What the sandbox said; never the gold answer, since a student may read it."""


def judge(execution: Execution, gold: str | None, *, rounded: bool = False) -> Judgement:
    """Judge one execution, exactly or `rounded` (see `compare`).

    Without a gold answer a value stays `ok`; what did not end in a value stays what it is.
    """
    if execution.outcome is not Outcome.OK:
        return Judgement(execution.outcome, None, execution.detail)
    if gold is None:
        return Judgement(Outcome.OK, execution.value, execution.detail)
    return Judgement(MEANING[compare(execution.value, gold, rounded=rounded)], execution.value, execution.detail)
