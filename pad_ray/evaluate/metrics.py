"""What the answers of one student add up to, and what the answers of two say about their difference.

Every share comes with a 95 % interval. Two students are always compared on the same problems, in pairs:
on small suites that tells much more than two separate intervals. One method each, everywhere: Wilson's score interval
for a share, and Newcombe's hybrid score interval, which is built of Wilson's, for a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from typing import Any, Literal, TypeVar

from pad_ray.decode.voting import vote
from pad_ray.evaluate.at_k import at_k
from pad_ray.evaluate.resampling import bootstrap, vary
from pad_ray.grading.compare import Comparison, compare
from pad_ray.outcomes import Outcome
from pad_ray.thoughts import chain

Key = TypeVar("Key", bound=Hashable)
_VALUED = (Outcome.WRONG_ANSWER, Outcome.UNDECIDED)
"""Not right, but with a value that another way of matching may accept."""


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
    """The value of the program as canonical text, or what a direct answer said; None if there was none."""
    outcome: Outcome
    """What became of the program."""
    detail: str
    """Exception type and message, the forbidden thing… or the whole reply of a direct answer."""
    program: str
    """The program whose value is the answer, or empty."""
    tokens: int
    """Tokens generated for this problem, over all samples."""
    source: str
    """The problem's source."""
    values: Sequence[str | None] = ()
    """Of a vote: the value of each sample, as canonical text, in the order in which they were drawn; None if there was
    none."""
    forms: dict[str, str] = field(default_factory=dict[str, str])
    """Where it answered in several forms of reasoning: what became of each alone, as an outcome."""


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
    p_value: float | None
    """Exact two-sided McNemar test of no difference; None for means of several runs, which are no single answers."""

    @property
    def verdict(self) -> Literal["better", "no clear difference", "worse"]:
        """The second in words: a difference is clear when its interval excludes zero."""
        low, high = self.ci95
        return "better" if low > 0 else "worse" if high < 0 else "no clear difference"


def wilson(correct: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of the share correct / n; (0, 1) when nothing was asked."""
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest

    interval = binomtest(correct, n).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def wilson_around(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval for a mean share over n questions that need not be a whole number of them, rounded outwards.

    Shares between 0 and 1 scatter less than single answers with the same mean, so it is never too narrow for them.
    """
    right = round(share * n, 9)
    return wilson(floor(right), n)[0], wilson(ceil(right), n)[1]


def difference_around(before: float, after: float, n: int) -> tuple[float, float]:
    """95 % interval of a difference of two mean shares that is the same on all of n questions.

    Newcombe's, of two `wilson_around` and without the correlation, which is none or positive there and only narrows it.
    """
    (low_before, high_before), (low_after, high_after) = wilson_around(before, n), wilson_around(after, n)
    down = _joined(after - low_after, high_before - before, 0)
    up = _joined(high_after - after, before - low_before, 0)
    return max(after - before - down, -1.0), min(after - before + up, 1.0)


def newcombe(both: int, gained: int, lost: int, neither: int) -> tuple[float, float]:
    """95 % interval of a difference of two shares on the same problems: hybrid score, method 10 of Newcombe (1998).

    "Improved confidence intervals for the difference between binomial proportions based on paired data", Statistics in
    Medicine 17:2635-2650. It stays honest where a bootstrap is not: with few disagreements, or none.
    """
    n = both + gained + lost + neither
    right = (both + lost, both + gained)
    (before, low_before, high_before), (after, low_after, high_after) = ((k / n, *wilson(k, n)) for k in right)
    spread = sqrt(right[0] * (n - right[0]) * right[1] * (n - right[1]))
    together = both * neither - gained * lost
    if together > 0:
        together = max(together - n / 2, 0)  # the correction for continuity, which makes it method 10
    correlation = together / spread if spread else 0.0
    difference = (gained - lost) / n
    down = _joined(after - low_after, high_before - before, correlation)
    up = _joined(high_after - after, before - low_before, correlation)
    return max(difference - down, -1.0), min(difference + up, 1.0)


def newcombe_around(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Newcombe's interval for shares on the same problems that are means over several runs, rounded outwards.

    Means over runs scatter less than single answers, so it is never too narrow for them.
    """
    pairs = list(zip(before, after, strict=True))
    both = floor(round(sum(map(min, pairs)), 9))
    gained, lost = (round(sum(max(0.0, side * (two - one)) for one, two in pairs), 9) for side in (1, -1))

    def around(more: int, fewer: int) -> tuple[float, float]:
        kept = min(both, len(pairs) - more - fewer)
        return newcombe(kept, more, fewer, len(pairs) - kept - more - fewer)

    return around(floor(gained), ceil(lost))[0], around(ceil(gained), floor(lost))[1]


def _joined(one: float, other: float, correlation: float) -> float:
    """The distance to a bound of a difference, from the distances to the bounds of its two sides."""
    return sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))


def paired(before: Mapping[Key, bool], after: Mapping[Key, bool]) -> Paired:
    """Compare two sets of answers (problem → right or not) on the problems they share.

    Raises ValueError if none is shared.
    """
    from scipy.stats import binomtest

    shared = before.keys() & after.keys()
    if not shared:
        raise ValueError("the two sets of answers share no problem")
    n = len(shared)
    both = sum(before[one] and after[one] for one in shared)
    gained = sum(after[one] and not before[one] for one in shared)
    lost = sum(before[one] and not after[one] for one in shared)
    return Paired(
        n=n,
        before=(both + lost) / n,
        after=(both + gained) / n,
        difference=(gained - lost) / n,
        ci95=newcombe(both, gained, lost, n - both - gained - lost),
        gained=gained,
        lost=lost,
        p_value=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
    )


def arithmetic_of(answers: Sequence[GradedAnswer]) -> dict[str, int]:
    """How often a right answer that was only read may have been reached by a wrong path: `arithmetic` in summary.json.

    Of the `right` answers, so many `calculate` something that could be calculated again, and so many of these are
    `faulty`: a calculation in them comes to something else. Words are not checked, nor what could be
    read in two ways, so more may be faulty.
    """
    done = [chain.checked(answer.program) for answer in answers if answer.outcome is Outcome.CORRECT]
    calculate = [one for one in done if one.claims]
    return {"right": len(done), "calculate": len(calculate), "faulty": sum(bool(one.wrong) for one in calculate)}


def by_form(answers: Sequence[GradedAnswer]) -> dict[str, dict[str, Any]]:
    """Where students answered in several forms: what each form reaches alone, `by_form` in summary.json."""
    found: dict[str, dict[str, Any]] = {}
    for form in answers[0].forms if answers else ():
        correct, n = sum(one.forms[form] == Outcome.CORRECT for one in answers), len(answers)
        found[form] = {"n": n, "correct": correct, "accuracy": correct / n, "ci95": list(wilson(correct, n))}
    return found


def matches_of(answers: Sequence[GradedAnswer], match: str) -> dict[str, dict[str, Any]]:
    """What either way of matching gives: `matches` in summary.json; the one that counts is `match`.

    Rounding only ever adds right answers, so those of `match` need no second look.
    """
    n = len(answers)
    strict = match == "exact"
    counted = [one for one in answers if one.outcome is Outcome.CORRECT]
    # Those that the other way of matching may judge otherwise.
    others = [one for one in answers if one.outcome in _VALUED] if strict else counted
    moved = sum(compare(one.answer or "", one.gold, rounded=strict) is Comparison.EQUAL for one in others)
    other = len(counted) + moved if strict else moved
    right = {"exact": len(counted) if strict else other, "rounded": other if strict else len(counted)}
    return {
        name: {"correct": correct, "accuracy": correct / n if n else 0.0, "ci95": list(wilson(correct, n))}
        for name, correct in right.items()
    }


def at_k_of(answers: Sequence[GradedAnswer], match: str) -> list[dict[str, Any]]:
    """pass@k and majority@k of votes: `at_k` in summary.json; [] where the samples were not kept.

    The samples are those that voted, before any repair, and are judged here by `match`: the gold answer has no part in
    which of them was chosen. Means over questions, with 95 % intervals of a bootstrap over questions.
    """
    rows: list[dict[str, Any]] = []
    for one in at_k([_judged(answer, match) for answer in answers]):
        row: dict[str, Any] = {"k": one.k}
        for name, chances in (("pass", one.passed), ("majority", one.majority)):
            mean = sum(chances) / len(chances)
            low, high = bootstrap(chances) if vary(chances) else wilson_around(mean, len(chances))
            row[name] = {"accuracy": mean, "ci95": [low, high]}
        rows.append(row)
    return rows


def _judged(answer: GradedAnswer, match: str) -> tuple[list[tuple[int, bool]], int]:
    """How many samples gave each value and whether it is right, and how many gave none."""
    _, votes = vote(answer.values)
    rounded = match == "rounded"
    counts = [
        (count, compare(value, answer.gold, rounded=rounded) is Comparison.EQUAL) for value, count in votes.items()
    ]
    return counts, len(answer.values) - sum(votes.values())


def summarise(answers: Sequence[GradedAnswer], *, seconds: float, **facts: Any) -> dict[str, Any]:
    """The content of `summary.json`; `seconds` is the time of decoding and judging, `facts` are kept as given.

    Everything that is not `correct` counts against the student, `undecided` and `sandbox_error` included.
    """
    n = len(answers)
    outcomes = Counter(answer.outcome for answer in answers)
    correct = outcomes[Outcome.CORRECT]
    tokens = sum(answer.tokens for answer in answers)
    match = facts.get("match", "exact")
    chances = at_k_of(answers, match)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else 0.0,
        "ci95": list(wilson(correct, n)),
        "matches": matches_of(answers, match),
        **({"at_k": chances} if chances else {}),
        "executable_rate": sum(count for outcome, count in outcomes.items() if outcome.executable) / n if n else 0.0,
        "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        "tokens": tokens,
        "tokens_per_s": tokens / seconds if seconds > 0 else 0.0,
        "seconds": seconds,
        **facts,
    }
