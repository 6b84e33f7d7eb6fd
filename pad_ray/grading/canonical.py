"""Answer text → an exact value that can be compared: `$1,200`, `50%`, `1/2`, `1e3`, `−4`, `[1, 2.5]`, `Yes`.

Reads what a program returned as well as what a data set calls its answer. Nothing is evaluated, and no text makes it
work for long: numbers are exact fractions, bounded in digits and exponent.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

MAX_TEXT = 12_000
MAX_DIGITS = 1_500
MAX_EXPONENT = 5_000
MAX_ITEMS = 64
MAX_DEPTH = 16
_SIGNS = str.maketrans({"−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "⁄": "/"})
_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)\s*(?:[$€£¥₹]\s*)?(?P<sign2>[-+]?)
        (?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?:\.(?P<part>\d*))?
        (?:[eE](?P<exponent>[-+]?\d+))?
        \s*(?:[€£¥₹$]\s*)?(?P<percent>%?)""",
    re.VERBOSE | re.ASCII,
)
_FRACTION = re.compile(r"(?P<sign>[-+]?)(?:(?P<whole>\d+)\s+)?(?P<top>\d+)\s*/\s*(?P<bottom>\d+)", re.ASCII)
_LEADING = re.compile(r"(?P<number>\S{1,40})\s+[^\W\d_]", re.ASCII)
_NOT_A_DIGIT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉]")
"""5² is not 52: what compatibility normalisation would turn into plain digits."""
_MIXED = re.compile(r"(?<=\d)[¼½¾⅐-⅞↉]", re.ASCII)
_CHOICE = re.compile(r"\(([a-z])\)", re.ASCII)
"""A choice of several, as in (B), which is also written B."""
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})
_NOT_FINITE = frozenset({"inf", "infinity", "nan"})


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number."""

    value: Fraction
    """As written: the value of `50%` is 50."""
    percent: bool = False
    """Whether a percent sign followed."""


@dataclass(frozen=True, slots=True)
class Truth:
    """True or yes, False or no."""

    value: bool
    """Which of the two."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words: case, width, spaces, quotes, a final full stop and the brackets of a choice do not count."""

    value: str
    """The normalised words."""
    leading: Number | None = None
    """The number at the front, as in `5 apples`: such a text is neither that number nor surely another answer."""


@dataclass(frozen=True, slots=True)
class Items:
    """Several answers in order."""

    values: tuple[Value, ...]
    """Each of them."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No answer that could be compared."""

    reason: str
    """`not finite`, `out of range`, `too long`, `empty`…"""


Value = Number | Truth | Text | Items | Unreadable


def parse(text: str) -> Value:
    """The value an answer text stands for; a list of one thing stands for the thing."""
    if len(text) > MAX_TEXT:
        return Unreadable("too long")
    text = text.strip()
    if text.startswith("["):
        return _listed(text)
    value = _single(text)
    if isinstance(value, Text) and 0 < text.count(",") < MAX_ITEMS:
        parts = [_single(part.strip()) for part in text.split(",")]
        if all(isinstance(part, Number) for part in parts):
            return Items(tuple(parts))
    return value


def _single(text: str) -> Value:
    text = _plain(text)
    if not text:
        return Unreadable("empty")
    if len(text) > MAX_TEXT:  # one ligature may stand for a whole phrase
        return Unreadable("too long")
    number = _number(text)
    if number is not None:
        return number
    words = " ".join(text.casefold().split())
    words = words.strip("\"'`").rstrip(".!").strip() or words  # punctuation alone stays what it is
    if choice := _CHOICE.fullmatch(words):
        words = choice[1]
    if words.lstrip("+-") in _NOT_FINITE:
        return Unreadable("not finite")
    if words in _TRUE or words in _FALSE:
        return Truth(words in _TRUE)
    found = _LEADING.match(words)
    leading = _number(found["number"]) if found else None
    return Text(words, leading if isinstance(leading, Number) else None)


def _plain(text: str) -> str:
    """The text in plain letters: full width, ½ and the several minus signs are written as on a keyboard."""
    if text.isascii():
        return text.strip()
    form = "NFC" if _NOT_A_DIGIT.search(text) else "NFKC"
    text = unicodedata.normalize(form, _MIXED.sub(r" \g<0>", text))
    return text.translate(_SIGNS).strip()


def _number(text: str) -> Number | Unreadable | None:
    """The number a text is; None if it is none; Unreadable if it is one that has no bounded exact value."""
    match = _FRACTION.fullmatch(text)
    if match:
        return _ratio(match)
    match = _NUMBER.fullmatch(text)
    if not match or not (match["whole"] or match["part"]) or (match["sign"] and match["sign2"]):
        return None
    whole, part = (match["whole"] or "").replace(",", ""), match["part"] or ""
    exponent = match["exponent"] or "0"
    if len(whole) + len(part) > MAX_DIGITS or len(exponent) > 6 or abs(int(exponent)) > MAX_EXPONENT:
        return Unreadable("out of range")
    value = Fraction(int(whole + part)) * Fraction(10) ** (int(exponent) - len(part))
    return Number(-value if "-" in (match["sign"], match["sign2"]) else value, percent=bool(match["percent"]))


def _ratio(match: re.Match[str]) -> Number | Unreadable:
    whole, top, bottom = match["whole"] or "0", match["top"], match["bottom"]
    if len(whole) + len(top) + len(bottom) > MAX_DIGITS:
        return Unreadable("out of range")
    if int(bottom) == 0:
        return Unreadable("not finite")
    value = int(whole) + Fraction(int(top), int(bottom))
    return Number(-value if match["sign"] == "-" else value)


def _listed(text: str) -> Value:
    try:
        # Numbers stay text, so that none is rounded to a float or grows without bound.
        values = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return _single(text)
    return _item(values)


def _item(value: Any, depth: int = 0) -> Value:
    if isinstance(value, bool):
        return Truth(value)
    if isinstance(value, str):
        return _single(value)
    if not isinstance(value, list):
        return Unreadable("not an answer")
    if depth == MAX_DEPTH:  # a text of brackets alone must not exhaust the judge's stack
        return Unreadable("nested too deep")
    parts = tuple(_item(part, depth + 1) for part in cast("list[Any]", value))
    return parts[0] if len(parts) == 1 else Items(parts)
