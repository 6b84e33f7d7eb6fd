"""Canonical text inside the child: bounded, exact, the same for the same value."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.sandbox.jail import frames
from pad_ray.sandbox.jail.values import MAX_CANONICAL, NoAnswer, canonical

scalars = st.one_of(
    st.integers(), st.booleans(), st.floats(), st.fractions(), st.decimals(), st.text(), st.none(), st.binary()
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(anything)
def test_any_value_becomes_bounded_text_or_no_answer(value: Any) -> None:
    try:
        text = canonical(value)
    except NoAnswer as reason:
        assert str(reason) in ("none", "odd", "big", "empty")
        return
    assert 0 < len(text) <= MAX_CANONICAL
    text.encode()
    if type(value) in (list, tuple, dict):
        json.loads(text, parse_constant=pytest.fail)


@given(st.integers() | st.fractions() | st.floats(allow_nan=False))
def test_numbers_keep_their_exact_value(value: float | Fraction) -> None:
    assert type(value)(canonical(value)) == value


def test_kinds_have_their_documented_text() -> None:
    values = [7, True, 0.5, Fraction(3, 1), Decimal("1.50"), "text", (1, "2"), {2, 1}, {"a": 1}, [float("inf")]]
    wanted = ["7", "True", "0.5", "3", "1.50", "text", '[1, "2"]', "[1, 2]", "[1]", '["inf"]']
    assert [canonical(value) for value in values] == wanted


@pytest.mark.parametrize("value", [Decimal("9" * 1001), "9" * 1001, 1 << 4096, [0] * 33, [["9" * 1000] * 20]])
def test_what_does_not_fit_is_no_answer_and_never_a_shorter_one(value: Any) -> None:
    with pytest.raises(NoAnswer, match="big"):
        canonical(value)


class Foreign:
    """A scalar of a package whose `tolist` gives what it was asked to."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def tolist(self) -> Any:
        return self.inside

    def __float__(self) -> float:
        return 2.5


def test_a_foreign_number_is_what_its_package_says_in_plain_python() -> None:
    assert [canonical(Foreign(inside)) for inside in (7, [1, 2], "text")] == ["7", "[1, 2]", "text"]
    extended = Foreign(None)
    extended.inside = extended  # as a number with more digits than a float does
    assert canonical(extended) == "2.5"
    assert canonical([extended, Foreign(1)]) == "[2.5, 1]"
    with pytest.raises(NoAnswer, match="odd"):
        canonical(Foreign(3 + 4j))


def test_a_list_that_holds_itself_is_too_big() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NoAnswer, match="big"):
        canonical(endless)


@given(st.binary(max_size=200), st.integers(0, 50))
def test_hostile_bytes_are_a_bounded_frame_or_refused(noise: bytes, offset: int) -> None:
    try:
        found = frames.decode(noise, offset)
    except ValueError:
        return
    if found is not None:
        assert found[1] <= len(noise)


@given(st.integers(0, 999), st.sampled_from(frames.OUTCOMES), st.text(), st.text(max_size=90), st.floats(0, 60))
def test_a_frame_survives_its_bytes(job: int, outcome: str, value: str, detail: str, seconds: float) -> None:
    encoded = b"before" + frames.encode(frames.Frame(job, outcome, value, detail, seconds))
    found = frames.decode(encoded, 6)
    assert found is not None
    frame, end = found
    assert (frame.job, frame.outcome, end) == (job, outcome, len(encoded))
    assert (frame.value, frame.detail) == (value, detail)
    assert frames.decode(encoded[:-1], 6) is None
