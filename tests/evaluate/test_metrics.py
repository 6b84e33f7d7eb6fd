"""Intervals, paired differences and summaries say what the statistics books say."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.evaluate.metrics import GradedAnswer, newcombe, paired, summarise, wilson
from pad_ray.outcomes import Outcome

ids_with_truth = st.dictionaries(st.integers(0, 60).map(str), st.booleans(), min_size=1)


interval = functools.cache(newcombe)


def answer(number: int, outcome: Outcome, tokens: int = 10) -> GradedAnswer:
    return GradedAnswer(str(number), "Q", "1", None, outcome, "", "", tokens, "gym")


def test_wilson_matches_published_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for correct, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)]:
        assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_bounds(counts: tuple[int, int]) -> None:
    correct, n = counts
    low, high = wilson(correct, n)
    assert 0.0 <= low <= correct / n + 1e-12 and correct / n - 1e-12 <= high <= 1.0 and low < high


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_four_times_the_problems_narrow_the_interval(counts: tuple[int, int]) -> None:
    correct, n = counts
    (low, high), (low4, high4) = wilson(correct, n), wilson(4 * correct, 4 * n)
    assert high4 - low4 < high - low


def test_paired_counts_only_shared_problems_and_tests_disagreements() -> None:
    before = {"a": True, "b": False, "c": False, "d": False, "e": False, "only_before": True}
    after = {"a": False, "b": True, "c": True, "d": True, "e": False, "only_after": True}
    result = paired(before, after)
    assert (result.n, result.gained, result.lost) == (5, 3, 1)
    assert result.before == 1 / 5 and result.after == 3 / 5 and result.difference == pytest.approx(2 / 5)
    # Exact McNemar: two-sided binomial, 1 of 4: 2 * (1 + 4) / 16.
    assert result.p_value == pytest.approx(10 / 16)


def test_newcombe_matches_published_values() -> None:
    # (both, first only, second only, neither). Newcombe 1998, table of examples: 36, 12, 2, 0, first minus second.
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)
    # Fagerland, Lydersen and Laake 2014: airway hyper-responsiveness of 21 children, 1, 1, 7, 12.
    assert newcombe(1, 1, 7, 12) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_newcombe_is_near_the_normal_interval_on_many_problems() -> None:
    half = 1.96 * math.sqrt(0.25 * 0.75 / 1000)
    assert newcombe(250, 250, 0, 500) == pytest.approx((0.25 - half, 0.25 + half), abs=0.006)


@pytest.mark.parametrize(
    "shares",  # of (both, gained, lost, neither)
    [(0.5, 0.02, 0.02, 0.46), (0.3, 0.2, 0.05, 0.45), (0.01, 0.3, 0.01, 0.68), (0.05, 0.05, 0.0, 0.9)],
    ids=["alike", "clear gain", "from next to nothing", "rarely right"],
)
def test_newcombe_holds_the_true_difference_95_times_of_100(shares: tuple[float, ...]) -> None:
    """Exact: over every outcome that 20 problems can have, weighted by how likely it is."""
    n, difference, covered = 20, shares[1] - shares[2], 0.0
    for both, gained, lost in itertools.product(range(n + 1), repeat=3):
        if (neither := n - both - gained - lost) < 0:
            continue
        chance = math.factorial(n)
        for count, share in zip((both, gained, lost, neither), shares, strict=True):
            chance *= share**count / math.factorial(count)
        if chance > 1e-9:
            low, high = interval(both, gained, lost, neither)
            covered += chance * (low <= difference <= high)
    assert 0.94 <= covered <= 1.0 + 1e-9


def test_a_few_disagreements_are_no_clear_difference() -> None:
    before = {str(i): False for i in range(60)}
    few, many = ({str(i): i < gained for i in range(60)} for gained in (3, 12))
    assert paired(before, few).verdict == "no clear difference"
    assert (paired(before, many).verdict, paired(many, before).verdict) == ("better", "worse")
    # Without any disagreement a difference is still possible: on problems that were not asked.
    low, high = paired(before, before).ci95
    assert low < 0 < high


def test_without_a_disagreement_nothing_is_claimed_significant() -> None:
    same = {"a": True, "b": False}
    assert paired(same, same).p_value == 1.0 and paired(same, same).difference == 0.0


def test_paired_refuses_answers_to_different_problems() -> None:
    with pytest.raises(ValueError, match="share no problem"):
        paired({"a": True}, {"b": True})


@given(ids_with_truth, ids_with_truth)
def test_paired_is_antisymmetric_and_stays_in_bounds(before: dict[str, bool], after: dict[str, bool]) -> None:
    if not before.keys() & after.keys():
        return
    forth, back = paired(before, after), paired(after, before)
    assert forth.difference == -back.difference and forth.p_value == back.p_value
    assert (forth.gained, forth.lost) == (back.lost, back.gained)
    assert forth.difference == pytest.approx(forth.after - forth.before)
    assert forth.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]))
    assert -1.0 <= forth.ci95[0] <= forth.difference <= forth.ci95[1] <= 1.0


def test_summary_counts_everything_that_is_not_correct_against_the_student() -> None:
    outcomes = [Outcome.CORRECT, Outcome.CORRECT, Outcome.WRONG_ANSWER, Outcome.UNDECIDED, Outcome.TIMEOUT]
    outcomes += [Outcome.SANDBOX_ERROR, Outcome.TRUNCATED, Outcome.REFUSED]
    summary = summarise([answer(i, one) for i, one in enumerate(outcomes)], seconds=4.0, student="s", seed=7)
    assert (summary["n"], summary["correct"], summary["accuracy"]) == (8, 2, 0.25)
    assert summary["executable_rate"] == 0.5
    assert summary["outcomes"] == {
        "correct": 2,
        "wrong_answer": 1,
        "timeout": 1,
        "undecided": 1,
        "truncated": 1,
        "refused": 1,
        "sandbox_error": 1,
    }
    assert (summary["tokens"], summary["tokens_per_s"], summary["seconds"]) == (80, 20.0, 4.0)
    assert summary["ci95"] == list(wilson(2, 8))
    assert (summary["student"], summary["seed"]) == ("s", 7)


@given(st.lists(st.sampled_from(list(Outcome))))
def test_summary_outcomes_add_up_to_n(outcomes: list[Outcome]) -> None:
    summary = summarise([answer(i, one) for i, one in enumerate(outcomes)], seconds=0.0)
    assert sum(summary["outcomes"].values()) == summary["n"] == len(outcomes)
    assert summary["correct"] == summary["outcomes"].get("correct", 0)
    assert 0.0 <= summary["accuracy"] <= 1.0 and summary["accuracy"] <= summary["executable_rate"] <= 1.0
