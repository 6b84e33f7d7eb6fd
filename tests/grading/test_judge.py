"""A value becomes a verdict only against a gold answer; every other ending stays what it is."""

from __future__ import annotations

import pytest

from pad_ray.grading import judge
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution


@pytest.mark.parametrize(
    ("value", "gold", "outcome"),
    [
        ("72", "72", Outcome.CORRECT),
        ("71", "72", Outcome.WRONG_ANSWER),
        ("72 clips", "72", Outcome.UNDECIDED),
        ("72", None, Outcome.OK),
        ("nan", None, Outcome.OK),
    ],
)
def test_a_value_is_judged_against_the_gold_answer(value: str, gold: str | None, outcome: Outcome) -> None:
    assert judge(Execution(Outcome.OK, value), gold) == (outcome, value, "")


def test_rounding_is_only_used_when_asked_for() -> None:
    assert judge(Execution(Outcome.OK, "17.6"), "18").outcome is Outcome.WRONG_ANSWER
    assert judge(Execution(Outcome.OK, "17.6"), "18", rounded=True).outcome is Outcome.CORRECT


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_other_endings_keep_outcome_and_detail_whatever_the_gold(outcome: Outcome) -> None:
    assert judge(Execution(outcome, detail="why"), "72") == (outcome, None, "why")


def test_the_gold_answer_never_shows_in_what_a_student_may_read() -> None:
    assert "31337" not in judge(Execution(Outcome.OK, "1"), "31337").detail
