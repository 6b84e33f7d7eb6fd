"""Self-consistency (2203.11171): several programs answer one question, the value most of them gave wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def vote(values: Sequence[str | None]) -> tuple[str | None, dict[str, int]]:
    """The most frequent canonical value, and how many gave each (in order of first appearance).

    None and "" abstain: a program that failed has no vote. Ties go to the value seen first; no votes, no winner.
    """
    votes = Counter(value for value in values if value)
    # max() keeps the first of equals, and a Counter keeps the order of first appearance.
    return max(votes, key=votes.__getitem__, default=None), dict(votes)
