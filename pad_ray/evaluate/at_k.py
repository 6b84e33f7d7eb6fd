"""What several samples of one question are worth: pass@k, and a vote over k of them.

Both are expectations over which k of the n samples are taken, without replacement, so that a small k is not judged by
one draw. The samples of a question have been drawn alike and independently; the gold answer only judges them.

pass@k is the chance that any of k samples is right: the unbiased estimator 1 - C(n-c, k) / C(n, k) of Chen et al. 2021
(2107.03374), c of n being right. With k = n it is the oracle: what a perfect choice among the samples would reach.

majority@k is the chance that the value most of k samples gave is right. Samples without a value abstain; where all
abstain the answer is wrong. Of values that are given equally often the first seen wins, as in every vote here: drawn in
any order, each of them is first equally often, so of t values that are tied with r right ones among them r / t counts.
At k = n the vote that was really taken has one order, and may differ from this by its ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import Any, NamedTuple


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that any of k out of n samples is right. Raises ValueError unless 0 <= correct <= n, 1 <= k <= n."""
    if not (0 <= correct <= n and 1 <= k <= n):
        raise ValueError(f"pass@{k} of {correct} right among {n} samples is not defined")
    return 1 - comb(n - correct, k) / comb(n, k)


def majority_at(counts: Sequence[tuple[int, bool]], abstain: int) -> list[float]:
    """The chance that a vote over k samples is right, for k = 1, 2, … n.

    `counts` says of each value how many samples gave it and whether it is right, `abstain` how many gave none.

    For every m, the generating function of the samples in which m votes win: a value takes part in fewer than m, or is
    tied in m. Its terms are counted by how many values are tied and how many of these are right. All are positive, so
    floating point loses nothing.
    """
    import numpy as np

    n = abstain + sum(count for count, _ in counts)
    won = np.zeros(n + 1)
    for most in range(1, max((count for count, _ in counts), default=0) + 1):
        # (values tied, right ones of them) → by number of samples, in how many ways
        ways = {(0, 0): np.array([float(comb(abstain, taken)) for taken in range(abstain + 1)])}
        for count, right in counts:
            fewer = np.array([float(comb(count, taken)) for taken in range(min(count, most - 1) + 1)])
            tie = np.zeros(most + 1)
            tie[most] = float(comb(count, most))
            grown: dict[tuple[int, int], Any] = {}
            for (tied, good), before in ways.items():
                parts = [((tied, good), np.convolve(before, fewer))]
                if count >= most:
                    parts.append(((tied + 1, good + right), np.convolve(before, tie)))
                for key, part in parts:
                    there = grown.get(key)
                    grown[key] = part if there is None else _sum(there, part)
            ways = grown
        for (tied, good), found in ways.items():
            if good:
                won[: len(found)] += found * (good / tied)
    return [min(1.0, float(won[k]) / comb(n, k)) for k in range(1, n + 1)]


class Chances(NamedTuple):
    """What k samples are worth, question by question."""

    k: int
    """Samples taken."""
    passed: list[float]
    """The chance that any is right."""
    majority: list[float]
    """The chance that a vote over them is right."""


def at_k(judged: Sequence[tuple[Sequence[tuple[int, bool]], int]]) -> list[Chances]:
    """The chances for k = 1, 2, 4, … and n, each question given as in `majority_at`.

    Where questions have different numbers of samples, n is the smallest; none where one has no samples.
    """
    sizes = [abstain + sum(count for count, _ in counts) for counts, abstain in judged]
    n = min(sizes, default=0)
    ks = sorted({2**power for power in range(n.bit_length())} | {n}) if n else []
    votes = [majority_at(counts, abstain) for counts, abstain in judged] if n else []
    rights = [sum(count for count, right in counts if right) for counts, _ in judged]
    return [
        Chances(
            k,
            [pass_at_k(size, right, k) for size, right in zip(sizes, rights, strict=True)],
            [chances[k - 1] for chances in votes],
        )
        for k in ks
    ]


def _sum(one: Any, other: Any) -> Any:
    """Two polynomials added."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    total = longer.copy()
    total[: len(shorter)] += shorter
    return total
