"""Is this value the gold answer? Equal, different, or undecided, which is never counted as right.

Numbers are compared exactly, within |value − gold| ≤ max(1e-3, 1e-6·|gold|). A percent sign on one side only is read
either way: 50% is 50 as well as 0.5. A truth value (True, yes) never equals a number. Infinity and not-a-number equal
nothing. Lists are compared place by place. The tolerance is the gold answer's: equality of numbers has a direction
where both are beyond a thousand and just that far apart, and nowhere else.

With `rounded`, the evaluation of the PaD paper: a number also equals the whole gold number that it rounds to (half to
even). It only ever adds equal pairs, and is meant for figures to set beside the paper's, never for training data.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction

from pad_ray.grading.canonical import Items, Number, Text, Truth, Unreadable, Value, parse

ABSOLUTE = Fraction(1, 1_000)
RELATIVE = Fraction(1, 1_000_000)


class Comparison(StrEnum):
    """What a comparison can show."""

    EQUAL = "equal"
    """The same answer, within the tolerance."""
    DIFFERENT = "different"
    """Another answer."""
    UNDECIDED = "undecided"
    """Neither could be shown."""


def compare(value_text: str, gold_text: str, *, rounded: bool = False) -> Comparison:
    """Compare a canonical value with a gold answer, exactly or `rounded` as in the PaD paper."""
    return _compare(parse(value_text), parse(gold_text), rounded)


def _compare(value: Value, gold: Value, rounded: bool) -> Comparison:
    if isinstance(gold, Unreadable):
        return Comparison.UNDECIDED
    if isinstance(value, Unreadable):
        return Comparison.DIFFERENT if value.reason == "not finite" else Comparison.UNDECIDED
    if isinstance(value, Number) and isinstance(gold, Number):
        return _shown(_same_number(value, gold, rounded))
    if isinstance(value, Text) and isinstance(gold, Text):
        return _shown(value.value == gold.value)
    if isinstance(value, Truth) and isinstance(gold, Truth):
        return _shown(value.value is gold.value)
    if isinstance(value, Items) and isinstance(gold, Items):
        return _compare_items(value, gold, rounded)
    return _number_and_unit(value, gold, rounded)


def _compare_items(value: Items, gold: Items, rounded: bool) -> Comparison:
    if len(value.values) != len(gold.values):
        return Comparison.DIFFERENT
    found = {_compare(one, other, rounded) for one, other in zip(value.values, gold.values, strict=True)}
    for worst in (Comparison.DIFFERENT, Comparison.UNDECIDED):
        if worst in found:
            return worst
    return Comparison.EQUAL


def _number_and_unit(value: Value, gold: Value, rounded: bool) -> Comparison:
    """`5 apples` against `5` is undecided; every other pair of different kinds is different."""
    one = value.leading if isinstance(value, Text) else value
    other = gold.leading if isinstance(gold, Text) else gold
    if isinstance(one, Number) and isinstance(other, Number) and _same_number(one, other, rounded):
        return Comparison.UNDECIDED
    return Comparison.DIFFERENT


def _same_number(value: Number, gold: Number, rounded: bool) -> bool:
    if rounded and gold.value.denominator == 1 and round(value.value) == gold.value:
        return True
    if _close(value.value, gold.value):
        return True
    # As a share of one: half is 50 % too.
    return value.percent != gold.percent and _close(_share(value), _share(gold))


def _share(number: Number) -> Fraction:
    return number.value / 100 if number.percent else number.value


def _close(value: Fraction, gold: Fraction) -> bool:
    return abs(value - gold) <= max(ABSOLUTE, RELATIVE * abs(gold))


def _shown(same: bool) -> Comparison:
    return Comparison.EQUAL if same else Comparison.DIFFERENT
