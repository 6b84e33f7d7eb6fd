"""Equal within the tolerance, different, or honestly undecided."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.grading import Comparison, compare

EQUAL, DIFFERENT, UNDECIDED = Comparison.EQUAL, Comparison.DIFFERENT, Comparison.UNDECIDED
CASES = [
    ("18", "18", EQUAL),
    ("18.0", "18", EQUAL),
    ("18.0009", "18", EQUAL),
    ("18.002", "18", DIFFERENT),
    ("1/3", "0.3333", EQUAL),
    ("1000000.9", "1,000,000", EQUAL),
    ("1000001.1", "1000000", DIFFERENT),
    ("0.0011", "0", DIFFERENT),
    ("-4", "−4", EQUAL),
    ("50", "50%", EQUAL),
    ("0.5", "50%", EQUAL),
    ("5", "50%", DIFFERENT),
    ("50%", "50%", EQUAL),
    ("0.5%", "50%", DIFFERENT),
    ("True", "1", DIFFERENT),
    ("True", "yes", EQUAL),
    ("False", "yes", DIFFERENT),
    ("olleh", "Olleh.", EQUAL),
    ("hello", "olleh", DIFFERENT),
    ("5 apples", "5", UNDECIDED),
    ("6 apples", "5", DIFFERENT),
    ("apples", "5", DIFFERENT),
    ("inf", "5", DIFFERENT),
    ("nan", "nan", UNDECIDED),
    ("inf", "inf", UNDECIDED),
    ("1e999999999", "5", UNDECIDED),
    ("5", "", UNDECIDED),
    ("[5]", "5", EQUAL),
    ("[1, 2]", "1, 2.0", EQUAL),
    ("[1, 2]", "2, 1", DIFFERENT),
    ("[1, 2, 3]", "1, 2", DIFFERENT),
    ("[1, null]", "1, 2", UNDECIDED),
    ("[1, 2]", "1", DIFFERENT),
]


@pytest.mark.parametrize(("value", "gold", "wanted"), CASES)
def test_each_pair_is_decided_as_documented(value: str, gold: str, wanted: Comparison) -> None:
    assert compare(value, gold) is wanted


@given(st.fractions(), st.fractions())
def test_numbers_are_equal_exactly_within_the_tolerance(value: Fraction, gold: Fraction) -> None:
    within = abs(value - gold) <= max(Fraction(1, 1000), abs(gold) / 10**6)
    assert compare(str(value), str(gold)) is (EQUAL if within else DIFFERENT)


@given(st.text(), st.text())
def test_any_two_texts_are_compared_without_error(value: str, gold: str) -> None:
    assert compare(value, gold) in Comparison
    assert compare(value, value) is not DIFFERENT or "nan" in value.lower() or "inf" in value.lower()


@given(st.text(min_size=1), st.text(min_size=1))
def test_equality_has_no_direction_for_words_and_truths(value: str, gold: str) -> None:
    assert (compare(value, gold) is EQUAL) == (compare(gold, value) is EQUAL)
