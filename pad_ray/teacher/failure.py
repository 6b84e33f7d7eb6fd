"""Why a call gave no reply, whether it may have cost something, and what becomes of its request."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import NamedTuple

PERMANENT = {400, 413, 422}
"""Statuses that speak of this one request: it would be refused again, and its neighbours would not."""
THROTTLING = {429, 503, 529}
"""Statuses that ask for fewer calls."""
_LONGEST = 300


class Fate(Enum):
    """What becomes of a request whose call failed."""

    AGAIN = "again"
    """It is asked again, until its deadline."""
    ALONE = "alone"
    """It gets a permanent error; its neighbours go on."""
    ALL = "all"
    """Every further call would fail too: the run stops with the sentence."""


class Failure(NamedTuple):
    """One failed call."""

    sentence: str
    """What happened, short; may hold words of the server."""
    fate: Fate = Fate.AGAIN
    slower: bool = False
    """Whether fewer calls should be in flight."""
    cool_down: bool = False
    """Whether the server asked for fewer calls in so many words."""
    retry_after_s: float | None = None
    """How long the server asks to be left alone."""
    billed: bool = True
    """Whether it may have cost something, as far as can be known."""
    mend: str = ""
    """What to do about it, where it stops the run."""


def of_status(status: int, headers: Mapping[str, str], content: str, *, answered: bool, now: float) -> Failure:
    """The failure behind an HTTP status; errors are not billed. `answered`: whether this model ever gave a reply."""
    code, message = _told(content)
    sentence = f"HTTP {status}: {message}" if message else f"HTTP {status}"
    mend = _mend(status, code)
    if mend and not answered:
        return Failure(sentence, Fate.ALL, billed=False, mend=mend)
    if status in PERMANENT:
        return Failure(sentence, Fate.ALONE, billed=False)
    # Who answered a moment ago and refuses now may come back; else nothing succeeds any more, and that is noticed too.
    asked = status in THROTTLING
    return Failure(sentence, slower=asked, cool_down=asked, retry_after_s=retry_after(headers, now), billed=False)


def _mend(status: int, code: str) -> str:
    """What to do about a status that every call would get; empty for others."""
    if status in (401, 403):
        return "Check the environment variable OPENAI_API_KEY, and that it belongs to this teacher.base_url."
    if status == 402 or code == "insufficient_quota":
        return "Check the credit of the account that OPENAI_API_KEY belongs to."
    if status in (404, 405) or 300 <= status < 400:
        return "Check teacher.model and teacher.base_url; that usually ends in /v1."
    if code in ("unsupported_parameter", "unsupported_value"):
        return "Change the recipe key of that name, or ask another model."
    return ""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of a Retry-After header, given in seconds or as a date; None if there is none or it cannot be read."""
    told = headers.get("retry-after", "").strip()
    if not told:
        return None
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(told).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def shorten(text: str) -> str:
    """One line, of a length that fits a row."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _told(content: str) -> tuple[str, str]:
    """Code and message of an error body, in the shapes that servers give it."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return "", shorten(content) if not content.lstrip().startswith("<") else ""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        told = error.get("message") or error.get("detail") or ""
        return str(error.get("code") or error.get("type") or ""), shorten(str(told))
    return "", shorten(str(error))
