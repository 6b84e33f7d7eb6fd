"""Whatever a program returns or a data set writes down, the same answer in other clothes stays the same answer.

Numbers are equal within |value − gold| ≤ max(1e-3, 1e-6·|gold|), computed exactly.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pad_ray.grading import Comparison, compare
from pad_ray.grading.canonical import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_EXPONENT,
    MAX_TEXT,
    Items,
    Number,
    Text,
    Truth,
    Unreadable,
    Value,
    parse,
)
from pad_ray.sandbox.jail.values import NoAnswer, canonical

EQUAL, DIFFERENT, UNDECIDED = Comparison.EQUAL, Comparison.DIFFERENT, Comparison.UNDECIDED
numbers = st.one_of(st.integers(), st.fractions(), st.floats(allow_nan=False, allow_infinity=False))
amounts = st.decimals(-(10**12), 10**12, places=2)
currencies = st.sampled_from("$€£¥₹")
minuses = st.sampled_from("-−–—‐‑－")
answers = st.one_of(
    numbers.map(str), st.booleans().map(str), st.text(), amounts.map(lambda one: f"{one:,}"), amounts.map("{}%".format)
)


def canonical_number(value: Any) -> Fraction:
    found = parse(canonical(value))
    assert isinstance(found, Number), found
    return found.value


class TestClothes:
    """The same number, written as people and programs write it."""

    @given(amounts, currencies, st.booleans(), st.booleans())
    def test_currency_and_thousands_separators_change_nothing(
        self, amount: Decimal, sign: str, comma: bool, behind: bool
    ) -> None:
        digits = f"{abs(amount):,}" if comma else str(abs(amount))
        minus = "-" if amount < 0 else ""
        for text in (f"{minus}{digits} {sign}", f"{digits}{sign}") if behind else (f"{minus}{sign}{digits}",):
            assert parse(text) == Number(Fraction(abs(amount) if not text.startswith("-") else amount))

    @given(amounts, minuses)
    def test_every_minus_sign_is_a_minus_sign(self, amount: Decimal, minus: str) -> None:
        assert parse(f"{minus}{abs(amount)}") == Number(-Fraction(abs(amount)))

    @given(st.integers(0, 10**30))
    def test_full_width_digits_are_digits(self, value: int) -> None:
        assert parse("".join(chr(ord(digit) + 0xFEE0) for digit in str(value))) == Number(Fraction(value))

    @given(st.integers(0, 10**9), st.sampled_from("½¼¾⅓⅝"))
    def test_a_vulgar_fraction_adds_to_the_number_before_it(self, whole: int, sign: str) -> None:
        part = {"½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅝": (5, 8)}[sign]
        assert parse(sign) == Number(Fraction(*part))
        assert parse(f"{whole}{sign}") == Number(whole + Fraction(*part))
        assert parse(f"-{sign}") == Number(-Fraction(*part))

    @given(st.integers(0, 10**9), st.sampled_from("⁰¹²³⁴₂₉"))
    def test_a_raised_or_lowered_digit_is_no_digit(self, base: int, raised: str) -> None:
        assert isinstance(parse(f"{base}{raised}"), Text)

    @given(st.integers(0, 10**9), st.sampled_from("٠١٢٣४५๗"))
    def test_digits_of_other_scripts_are_words(self, base: int, digit: str) -> None:
        assert isinstance(parse(f"{base}{digit}"), Text)

    @given(amounts)
    def test_a_percentage_is_its_number_and_its_share_of_one(self, amount: Decimal) -> None:
        percent, share = f"{amount}%", str(Fraction(amount) / 100)
        for one, other in ((percent, str(amount)), (percent, share), (percent, percent)):
            assert compare(one, other) is compare(other, one) is EQUAL
        assume(abs(amount) > 1)
        assert compare(share, str(amount)) is DIFFERENT

    @given(st.sampled_from(["inf", "-inf", "+inf", "nan", "Infinity", "1/0", "NaN"]), answers)
    def test_what_is_not_finite_equals_nothing(self, odd: str, other: str) -> None:
        assert compare(odd, other) is not EQUAL
        assert compare(other, odd) is UNDECIDED

    @given(st.booleans(), numbers)
    def test_a_truth_value_is_never_a_number(self, truth: bool, number: float | Fraction) -> None:
        assert compare(str(truth), str(number)) is DIFFERENT
        assert compare(str(number), str(truth)) is DIFFERENT
        assert compare("yes" if truth else "No.", str(truth)) is EQUAL

    @pytest.mark.parametrize(("one", "other"), [("!", "..."), ("''", '"'), (".", "!")])
    def test_punctuation_alone_is_not_nothing(self, one: str, other: str) -> None:
        assert compare(one, other) is DIFFERENT
        assert compare(one, one) is EQUAL


class TestTolerance:
    """Stated, exact, and with a direction only where it must have one."""

    @given(numbers, numbers)
    def test_equal_is_within_the_stated_tolerance_of_the_gold_answer(self, value: Any, gold: Any) -> None:
        # As written: what counts of a float is its shortest decimal, not its binary expansion.
        exact, wanted = (Fraction(str(one)) for one in (value, gold))
        within = abs(exact - wanted) <= max(Fraction(1, 1000), abs(wanted) / 10**6)
        assert compare(str(value), str(gold)) is (EQUAL if within else DIFFERENT)

    @given(st.integers(-(10**20), 10**20), st.sampled_from([-1, 1]))
    def test_the_edge_itself_is_equal_and_just_beyond_is_not(self, gold: int, side: int) -> None:
        edge = gold + side * max(Fraction(1, 1000), Fraction(abs(gold), 10**6))
        assert compare(str(edge), str(gold)) is EQUAL
        assert compare(str(edge + side * Fraction(1, 10**9)), str(gold)) is DIFFERENT

    @given(st.fractions(-1000, 1000), st.fractions(-1000, 1000))
    @example(Fraction(1), Fraction(1001, 1000))
    def test_up_to_a_thousand_equality_has_no_direction(self, one: Fraction, other: Fraction) -> None:
        assert compare(str(one), str(other)) is compare(str(other), str(one))

    @given(numbers, numbers)
    def test_beyond_that_only_the_edge_has_one(self, one: Any, other: Any) -> None:
        there, back = compare(str(one), str(other)), compare(str(other), str(one))
        exact, wanted = Fraction(str(one)), Fraction(str(other))
        if there is not back:
            relative = abs(exact - wanted) * 10**6
            assert min(abs(exact), abs(wanted)) < relative <= max(abs(exact), abs(wanted))

    @given(answers)
    def test_a_finite_answer_equals_itself(self, answer: str) -> None:
        unreadable = isinstance(parse(answer), Unreadable) or "Unreadable" in repr(parse(answer))
        assert compare(answer, answer) is (UNDECIDED if unreadable else EQUAL)

    @given(st.lists(numbers.map(str), min_size=2, max_size=6), st.lists(numbers.map(str), min_size=2, max_size=6))
    def test_lists_are_equal_place_by_place(self, one: list[str], other: list[str]) -> None:
        places = len(one) == len(other) and all(
            compare(mine, theirs) is EQUAL for mine, theirs in zip(one, other, strict=True)
        )
        assert compare(json.dumps(one), json.dumps(other)) is (EQUAL if places else DIFFERENT)


class TestRounded:
    """The paper's lenient match: never the default, never less than the exact one."""

    @given(numbers, st.integers())
    def test_a_number_equals_the_whole_number_it_rounds_to(self, value: Any, gold: int) -> None:
        exact = Fraction(str(value))
        wanted = round(exact) == gold or compare(str(value), str(gold)) is EQUAL
        assert compare(str(value), str(gold), rounded=True) is (EQUAL if wanted else DIFFERENT)

    @given(answers, answers)
    def test_it_only_adds_equal_pairs(self, value: str, gold: str) -> None:
        if compare(value, gold) is EQUAL:
            assert compare(value, gold, rounded=True) is EQUAL

    @pytest.mark.parametrize(
        ("value", "gold", "wanted"),
        [
            ("17.6", "18", EQUAL),
            ("17.5", "18", EQUAL),
            ("16.5", "17", DIFFERENT),  # half to even, as Python's round and the paper's evaluation
            ("0.3", "0.25", DIFFERENT),  # only whole gold answers are rounded to
            ("60%", "1", DIFFERENT),  # nor is a share of one
            ("[1.2, 3]", "1, 3", EQUAL),
            ("17.6 apples", "18", UNDECIDED),
            ("True", "1", DIFFERENT),
            ("inf", "1", DIFFERENT),
        ],
    )
    def test_what_rounding_does_and_does_not_forgive(self, value: str, gold: str, wanted: Comparison) -> None:
        assert compare(value, gold, rounded=True) is wanted


class TestJourney:
    """What the child writes, the parent reads: nothing is lost between them."""

    @given(st.integers(-(2**4095), 2**4095))
    def test_integers_arrive_exactly_however_large(self, value: int) -> None:
        assert canonical_number(value) == value

    @given(st.fractions())
    def test_fractions_arrive_exactly(self, value: Fraction) -> None:
        assert canonical_number(value) == value

    @given(st.floats(allow_nan=False, allow_infinity=False))
    @example(sys.float_info.max)
    @example(5e-324)
    def test_floats_arrive_as_the_same_float(self, value: float) -> None:
        assert float(canonical_number(value)) == value

    @given(st.decimals(allow_nan=False, allow_infinity=False))
    def test_decimals_arrive_exactly_or_are_out_of_range(self, value: Decimal) -> None:
        found = parse(canonical(value))
        if abs(value.as_tuple().exponent) + len(value.as_tuple().digits) < MAX_EXPONENT:  # type: ignore[arg-type]
            assert found == Number(Fraction(value))
        else:
            assert found in (Number(Fraction(value)), Unreadable("out of range"))

    @given(st.sampled_from([float("inf"), float("-inf"), float("nan")]) | st.sampled_from(["sNaN", "NaN", "Infinity"]))
    def test_infinity_and_not_a_number_arrive_as_such(self, value: float | str) -> None:
        assert parse(canonical(Decimal(value))) == Unreadable("not finite")
        if isinstance(value, float):
            assert parse(canonical(value)) == Unreadable("not finite")

    @given(st.booleans())
    def test_truth_values_stay_truth_values_also_in_lists(self, value: bool) -> None:
        assert parse(canonical(value)) == Truth(value)
        assert parse(canonical([value, 1])) == Items((Truth(value), Number(Fraction(1))))

    @given(st.text(st.characters(categories=("L", "N", "P", "S", "Z")), max_size=100))
    def test_words_arrive_as_they_would_have_been_read(self, value: str) -> None:
        try:
            text = canonical(value)
        except NoAnswer:
            assert not value.strip()
            return
        assert parse(text) == parse(value)

    @given(st.lists(st.integers() | st.fractions() | st.floats(allow_nan=False, allow_infinity=False), min_size=2))
    def test_lists_arrive_with_every_item_exact_or_not_at_all(self, values: list[Any]) -> None:
        try:
            text = canonical(values)
        except NoAnswer as reason:
            assert str(reason) == "big" and len(values) > 32
            return
        assert parse(text) == Items(tuple(Number(Fraction(str(value))) for value in values))


class TestAnyText:
    """A reader that strangers write to: no text raises, none makes it work for long."""

    @given(st.text('0123456789.,eE+-/%$[]{}":½²５ \u00a0', max_size=400), st.integers(1, 40))
    @example("9" * 300, 40)
    @example("1e" + "9" * 300, 40)
    @example("[", 12_000)
    @example("[1,", 4_000)
    @example("1/", 6_000)
    @example("1 ", 6_000)
    @example("1,", 6_000)
    @example("ﷺ", 12_000)
    @example(" $", 6_000)
    def test_what_is_read_is_bounded(self, piece: str, times: int) -> None:
        for text in (piece * times, f"[{piece * times}]", "[" * times + piece + "]" * times):
            bounded(parse(text), 0)
            assert compare(text, text) in Comparison

    @given(st.text(min_size=1, max_size=4))
    def test_a_text_over_the_limit_is_not_read_at_all(self, piece: str) -> None:
        assert parse(piece * MAX_TEXT + "x") == Unreadable("too long")


def bounded(value: Value, depth: int) -> None:
    assert depth <= MAX_DEPTH + 1
    if isinstance(value, Items):
        assert len(value.values) <= MAX_TEXT
        for one in value.values:
            bounded(one, depth + 1)
    elif isinstance(value, Number):
        digits = value.value.numerator.bit_length() + value.value.denominator.bit_length()
        assert digits <= 4 * (MAX_DIGITS + MAX_EXPONENT)
