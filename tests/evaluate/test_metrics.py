"""Intervals, paired differences and summaries say what the statistics books say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.evaluate.metrics import GradedAnswer, paired, summarise, wilson
from pad_ray.outcomes import Outcome

ids_with_truth = st.dictionaries(st.integers(0, 60).map(str), st.booleans(), min_size=1)


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


def test_bootstrap_interval_is_near_the_normal_one_on_many_problems() -> None:
    before = {str(i): i % 4 == 0 for i in range(1000)}
    after = {str(i): i % 2 == 0 for i in range(1000)}
    result = paired(before, after)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 1000)
    assert result.ci95 == pytest.approx((0.25 - half, 0.25 + half), abs=0.005)
    assert result.p_value < 1e-50


def test_without_a_disagreement_nothing_is_claimed_significant() -> None:
    same = {"a": True, "b": False}
    assert paired(same, same).p_value == 1.0 and paired(same, same).difference == 0.0


def test_paired_refuses_answers_to_different_problems() -> None:
    with pytest.raises(ValueError, match="share no problem"):
        paired({"a": True}, {"b": True})


@given(ids_with_truth, ids_with_truth, st.integers(0, 3))
def test_paired_is_antisymmetric_and_repeatable(before: dict[str, bool], after: dict[str, bool], seed: int) -> None:
    if not before.keys() & after.keys():
        return
    forth, back = paired(before, after, seed=seed), paired(after, before, seed=seed)
    assert forth.difference == -back.difference and forth.p_value == back.p_value
    assert (forth.gained, forth.lost) == (back.lost, back.gained)
    assert forth.difference == pytest.approx(forth.after - forth.before)
    assert -1.0 <= forth.ci95[0] <= forth.ci95[1] <= 1.0
    assert forth == paired(before, after, seed=seed)


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
