"""Self-consistency (2203.11171): several programs answer one question, the value most of them gave wins."""

from __future__ import annotations

from collections.abc import Sequence

from pad_ray.grading.compare import Comparison, compare


def vote(values: Sequence[str | None]) -> tuple[str | None, dict[str, int]]:
    """The most frequent value, and how many programs gave each, in order of first appearance.

    Spellings of one value (`7` and `7.0`, `0.3` and `0.30000000000000004`) count together, under the one seen first,
    with the tolerance of grading. None and "" abstain: a program that failed has no vote. Ties go to the value seen
    first; without votes there is no winner.
    """
    votes: dict[str, int] = {}
    for text in filter(None, values):
        # What cannot be read as a value is only like itself.
        same = (name for name in votes if text == name or compare(text, name) is Comparison.EQUAL)
        name = next(same, text)
        votes[name] = votes.get(name, 0) + 1
    # max() keeps the first of equals.
    return max(votes, key=votes.__getitem__, default=None), votes
