"""Answer texts of every shape become exact values, and no text makes the reader work for long."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.grading.canonical import Items, Number, Text, Truth, Unreadable, parse

NUMBERS = {
    "18": 18,
    " 18. ": 18,
    "$1,200": 1200,
    "$1,234,567.50": Fraction(2469135, 2),
    "-$5": -5,
    "$-5": -5,
    "−4": -4,
    "+3": 3,
    "5 €": 5,
    "1e3": 1000,
    "2.5E-1": Fraction(1, 4),
    ".5": Fraction(1, 2),
    "1/2": Fraction(1, 2),
    "-3 / 4": Fraction(-3, 4),
    "1 1/2": Fraction(3, 2),
    "0.1": Fraction(1, 10),
    "1２": 12,
}
HOSTILE = [
    "1e999999999",
    "-1E-999999999",
    "9" * 5_000,
    "1/" + "9" * 5_000,
    "[" * 5_000,
    "[" * 5_000 + "]" * 5_000,
    "[" * 900 + "1, 2" + "]" * 900,
    "[1, " * 400 + "1" + "]" * 400,
    "1" + "," * 11_000,
    "1," * 5_000,
    " 1" * 5_000,
    "1e" + "9" * 5_000,
    "$" * 11_000,
    "x" * 1_000_000,
    "1/0",
    '{"a": 1}',
    "[null]",
    "[NaN, Infinity, -Infinity]",
    "\x00",
    "٣",
    "",
]


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_a_number_in_any_clothes_is_the_exact_number(text: str, value: Fraction) -> None:
    assert parse(text) == Number(Fraction(value))


def test_a_percent_sign_is_remembered() -> None:
    assert parse("50%") == Number(Fraction(50), percent=True)


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "Infinity", "1/0"])
def test_what_is_not_finite_is_unreadable(text: str) -> None:
    assert parse(text) == Unreadable("not finite")


def test_words_lose_case_width_spaces_quotes_and_full_stop() -> None:
    assert parse("  'Hello   World.' ") == parse("hello world") == Text("hello world")
    assert parse("Yes.") == parse("True") == Truth(True)
    assert parse("NO") == parse("false") == Truth(False)


def test_a_number_with_a_unit_is_a_text_that_remembers_the_number() -> None:
    assert parse("5 Apples") == Text("5 apples", Number(Fraction(5)))
    assert parse("5apples") == Text("5apples")


def test_lists_are_read_with_exact_numbers_and_one_item_stands_for_itself() -> None:
    wanted = Items((Number(Fraction(1)), Number(Fraction(5, 2)), Number(Fraction(1, 3)), Truth(True), Text("a")))
    assert parse('[1, 2.5, "1/3", true, "a"]') == wanted
    assert parse("1, 2.5") == Items((Number(Fraction(1)), Number(Fraction(5, 2))))
    assert parse("[5]") == parse("5")
    assert parse("1,200") == Number(Fraction(1200))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_are_read_without_error(text: str) -> None:
    parse(text)


@given(st.text())
def test_any_text_is_read_without_error(text: str) -> None:
    parse(text)
    parse(f"[{text}]")


@given(st.fractions() | st.integers())
def test_exact_numbers_survive_their_text(value: Fraction | int) -> None:
    assert parse(str(value)) == Number(Fraction(value))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_read_as_the_decimal_they_show(value: float) -> None:
    found = parse(repr(value))
    assert isinstance(found, Number)
    assert float(found.value) == value


@given(st.integers(0, 10**15))
def test_thousands_separators_change_nothing(value: int) -> None:
    assert parse(f"{value:,}") == parse(f"${value:,}.00") == Number(Fraction(value))
