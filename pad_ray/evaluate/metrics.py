"""What the answers of one student add up to, and what the answers of two say about their difference.

Every share comes with a 95 % interval. Two students are always compared on the same problems, in pairs:
on small suites that tells much more than two separate intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pad_ray.outcomes import Outcome

RESAMPLES = 10_000
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """One line of `answers.jsonl`: what the student made of one problem."""

    problem_id: str
    """The Problem."""
    question: str
    """Its question."""
    gold: str
    """Its gold answer."""
    answer: str | None
    """The program's value as canonical text, or None if there was none."""
    outcome: Outcome
    """What became of the program."""
    detail: str
    """Exception type and message, the forbidden thing…"""
    program: str
    """The program whose value is the answer, or empty."""
    tokens: int
    """Tokens generated for this problem, over all samples."""
    source: str
    """The problem's source."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Two students on the same problems; `after` is compared with `before`."""

    n: int
    """Problems both have answered."""
    before: float
    """Accuracy of the first."""
    after: float
    """Accuracy of the second."""
    difference: float
    """after - before."""
    ci95: tuple[float, float]
    """95 % interval of the difference."""
    gained: int
    """Problems only the second has right."""
    lost: int
    """Problems only the first has right."""
    p_value: float
    """Exact two-sided McNemar test of no difference."""


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of the share correct / n; (0, 1) when nothing was asked."""
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def paired(before: Mapping[Key, bool], after: Mapping[Key, bool], *, seed: int = 0) -> Paired:
    """Compare two sets of answers (problem → right or not) on the problems they share.

    The interval is the percentile bootstrap over problems. It knows only the disagreements it has seen: with few of
    them it is too narrow, with none it is a point, so read the test beside it. Raises ValueError if none is shared.
    """
    import numpy as np
    from scipy.stats import binomtest

    shared = before.keys() & after.keys()
    if not shared:
        raise ValueError("the two sets of answers share no problem")
    n = len(shared)
    gained = sum(after[one] and not before[one] for one in shared)
    lost = sum(before[one] and not after[one] for one in shared)
    # Drawing n problems with replacement is one multinomial draw over (only after, only before, both alike).
    shares = np.array([gained, lost, n - gained - lost]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=RESAMPLES)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return Paired(
        n=n,
        before=sum(before[one] for one in shared) / n,
        after=sum(after[one] for one in shared) / n,
        difference=(gained - lost) / n,
        ci95=(float(low), float(high)),
        gained=gained,
        lost=lost,
        p_value=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
    )


def summarise(answers: Sequence[GradedAnswer], *, seconds: float, **facts: Any) -> dict[str, Any]:
    """The content of `summary.json`; `seconds` is the time of decoding and judging, `facts` are kept as given.

    Everything that is not `correct` counts against the student, `undecided` and `sandbox_error` included.
    """
    n = len(answers)
    outcomes = Counter(answer.outcome for answer in answers)
    correct = outcomes[Outcome.CORRECT]
    tokens = sum(answer.tokens for answer in answers)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else 0.0,
        "ci95": list(wilson(correct, n)),
        "executable_rate": sum(count for outcome, count in outcomes.items() if outcome.executable) / n if n else 0.0,
        "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        "tokens": tokens,
        "tokens_per_s": tokens / seconds if seconds > 0 else 0.0,
        "seconds": seconds,
        **facts,
    }
