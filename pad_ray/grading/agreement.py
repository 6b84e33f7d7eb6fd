"""The answer that independent programs agree on, for problems whose answer nobody knows.

Self-consistency (Wang et al. 2022, 2203.11171) with a threshold: what too few agree on gets no answer, not a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from pad_ray.grading.canonical import Unreadable, parse
from pad_ray.grading.compare import Comparison, compare


def agreed(values: Sequence[str], least: int) -> str | None:
    """The canonical value that at least `least` of these values equal, or None; also where two different ones do."""
    groups: list[list[str]] = []
    for value in values:
        if isinstance(parse(value), Unreadable):
            continue
        for group in groups:
            if compare(value, group[0]) is Comparison.EQUAL:
                group.append(value)
                break
        else:
            groups.append([value])
    enough = [group for group in groups if len(group) >= least]
    return enough[0][0] if len(enough) == 1 else None
