"""Self-consistency (2203.11171): several programs answer one question, the value most of them gave wins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pad_ray.grading.compare import Comparison, compare


def vote(values: Sequence[str | None]) -> tuple[str | None, dict[str, int]]:
    """The most frequent value, and how many programs gave each, in order of first appearance.

    Spellings of one value (`7` and `7.0`, `0.3` and `0.30000000000000004`) count together, under the one seen first,
    with the tolerance of grading. None and "" abstain: a program that failed has no vote. Ties go to the value seen
    first; without votes there is no winner. 50% is like 50 and like 0.5, which are not alike: it counts with the one
    that more programs gave.
    """
    counts = Counter(filter(None, values))
    groups: list[list[str]] = []
    # Percents come last, so that they never decide what the others are like.
    for text in sorted(counts, key=lambda text: "%" in text):
        # What cannot be read as a value is only like itself.
        alike = [group for group in groups if compare(text, group[0]) is Comparison.EQUAL]
        if alike:
            max(alike, key=lambda group: sum(counts[one] for one in group)).append(text)
        else:
            groups.append([text])
    order = list(counts)
    named = sorted((min(map(order.index, group)), sum(counts[one] for one in group)) for group in groups)
    votes = {order[first]: total for first, total in named}
    # max() keeps the first of equals.
    return max(votes, key=votes.__getitem__, default=None), votes
