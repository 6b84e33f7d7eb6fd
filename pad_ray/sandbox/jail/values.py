"""What a program returned, as canonical text: the only form in which an answer leaves its child.

    int → digits · bool → True/False · float → repr · Fraction → p/q · Decimal → its digits · str → itself
    list, tuple, set, values of a dict → JSON list, where fractions and decimals are strings

Runs inside the child and inside the program's time, so foreign code (`__float__`, `tolist`) may be called here. The
parent reads nothing but the text.
"""

from __future__ import annotations

import json
import numbers
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

MAX_BITS = 4096
MAX_TEXT = 1000
MAX_ITEMS = 32
MAX_DEPTH = 2
MAX_CANONICAL = 12_000


class NoAnswer(Exception):
    """The value cannot be an answer; the message is one of `none`, `odd`, `big`, `empty`."""


def canonical(value: Any) -> str:
    """Canonical text of an answer. Raises NoAnswer, or whatever the value's own code raises."""
    value = _plain(value)
    if value is None:
        raise NoAnswer("none")
    text = json.dumps(_items(value, depth=1)) if type(value) in _CONTAINERS else _scalar(value)
    if not text.strip():
        raise NoAnswer("empty")
    if len(text) > MAX_CANONICAL:
        raise NoAnswer("big")
    return text


def _plain(value: Any) -> Any:
    """The standard-library value that a numpy or sympy object stands for; other values as they are."""
    kind = cast("type[Any]", type(value))
    if value is None or kind in _EXACT:
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
        if type(value) in _EXACT:
            return value
    if isinstance(value, numbers.Rational):
        top, bottom = int(value.numerator), int(value.denominator)
        return top if bottom == 1 else Fraction(top, bottom)
    try:
        return float(value)
    except Exception:
        raise NoAnswer("odd") from None


def _scalar(value: Any) -> str:
    kind = cast("type[Any]", type(value))
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise NoAnswer("big")
        return str(value)
    if kind is bool or kind is float:
        return repr(value)
    if kind is Fraction:
        top, bottom = value.numerator, value.denominator
        if type(top) is not int or type(bottom) is not int or top.bit_length() + bottom.bit_length() > MAX_BITS:
            raise NoAnswer("big")
        return str(top) if bottom == 1 else f"{top}/{bottom}"
    if kind is Decimal and value.is_nan():
        return "nan"  # whichever of its several spellings
    if kind is Decimal or kind is str:
        text = str(value)
        if len(text) > MAX_TEXT:
            raise NoAnswer("big")
        return text.encode("utf-8", "backslashreplace").decode()
    raise NoAnswer("odd")


def _items(values: Any, depth: int) -> list[Any]:
    if len(values) > MAX_ITEMS or depth > MAX_DEPTH:
        raise NoAnswer("big")
    kind = cast("type[Any]", type(values))
    if kind is dict:
        values = values.values()
    elif kind is set or kind is frozenset:
        values = sorted(values, key=repr)  # the order of a set says nothing
    return [_item(value, depth) for value in values]


def _item(value: Any, depth: int) -> Any:
    value = _plain(value)
    kind = cast("type[Any]", type(value))
    if value is None or kind is bool:
        return value
    if kind in _CONTAINERS:
        return _items(value, depth + 1)
    text = _scalar(value)
    finite_float = kind is float and value - value == 0
    return value if kind is int or finite_float else text


_CONTAINERS: frozenset[type] = frozenset({list, tuple, set, frozenset, dict})
_EXACT: frozenset[type] = frozenset({int, bool, float, str, Fraction, Decimal}) | _CONTAINERS
