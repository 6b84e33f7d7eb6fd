"""An answer counts as agreed on only when enough programs give it, whatever way they write it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pad_ray.grading.agreement import agreed


def test_enough_equal_values_make_the_answer_and_too_few_make_none() -> None:
    assert agreed(["12", "12.0", "7", "12"], 3) == "12"
    assert agreed(["12", "7", "12", "8", "9"], 3) is None
    assert agreed([], 2) is None


def test_two_answers_that_both_have_enough_votes_are_no_agreement() -> None:
    assert agreed(["1", "1", "2", "2"], 2) is None


def test_values_that_equal_nothing_have_no_vote() -> None:
    assert agreed(["nan", "nan", "nan"], 2) is None
    assert agreed(["inf", "5", "inf", "5"], 2) == "5"


@given(st.lists(st.integers(0, 3), max_size=9), st.integers(2, 5))
def test_what_is_agreed_on_has_the_votes_and_no_other_value_has(votes: list[int], least: int) -> None:
    answer = agreed([str(vote) for vote in votes], least)
    enough = {str(vote) for vote in votes if votes.count(vote) >= least}
    assert ({answer} if answer else set()) == (enough if len(enough) == 1 else set())
