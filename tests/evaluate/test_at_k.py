"""What k samples are worth: the formulas say what counting every choice of k samples says."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pad_ray.decode.voting import vote
from pad_ray.evaluate.at_k import at_k, majority_at, pass_at_k
from pad_ray.evaluate.metrics import GradedAnswer, at_k_of, matches_of, summarise
from pad_ray.outcomes import Outcome

samples = st.lists(st.sampled_from(["7", "8", "9", "10", None]), min_size=1, max_size=6)


def answer(*values: str | None, gold: str = "7", outcome: Outcome = Outcome.CORRECT) -> GradedAnswer:
    return GradedAnswer("p", "Q", gold, values[0], outcome, "", "", 5, "sums", values if len(values) > 1 else ())


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_choices_that_hold_a_right_sample(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    choices = list(itertools.combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(any(one) for one in choices) / len(choices))


def test_pass_at_k_of_what_cannot_be_is_refused() -> None:
    for n, correct, k in ((4, 5, 1), (4, 1, 5), (4, 1, 0), (4, -1, 1)):
        with pytest.raises(ValueError, match="is not defined"):
            pass_at_k(n, correct, k)


@settings(max_examples=60)
@given(samples, st.sets(st.sampled_from(["7", "8", "9"])))
def test_majority_at_k_is_the_share_of_drawings_whose_vote_is_right(values: list[str | None], right: set[str]) -> None:
    _, votes = vote(values)
    found = majority_at([(count, value in right) for value, count in votes.items()], values.count(None))
    for k in range(1, len(values) + 1):
        drawings = list(itertools.permutations(values, k))
        assert found[k - 1] == pytest.approx(sum(vote(one)[0] in right for one in drawings) / len(drawings))


def test_a_tie_counts_by_the_values_that_are_tied() -> None:
    assert majority_at([(2, True), (2, False)], 0)[3] == pytest.approx(1 / 2)
    assert majority_at([(1, True), (1, False), (1, False)], 5)[-1] == pytest.approx(1 / 3)
    assert majority_at([], 3) == [0, 0, 0]


def test_as_many_samples_as_a_vote_may_have_lose_no_precision() -> None:
    found = majority_at([(100, True), (90, False), *[(1, False)] * 40], 26)
    assert len(found) == 256 and found[0] == pytest.approx(100 / 256) and found[-1] == pytest.approx(1)
    assert all(0 <= one <= 1 for one in found)
    alike = majority_at([(128, True), (128, False)], 0)
    assert alike == pytest.approx([1 / 2] * 256)


def test_the_ks_are_doublings_and_all_samples() -> None:
    assert [one.k for one in at_k([([(3, True), (3, False)], 0)])] == [1, 2, 4, 6]
    assert [one.k for one in at_k([([(8, True)], 0), ([(3, True)], 0)])] == [1, 2, 3]
    assert at_k([]) == at_k([([(2, True)], 0), ([], 0)]) == []


def test_a_summary_tells_what_the_samples_of_its_votes_are_worth() -> None:
    answers = [
        answer("7", "7.0", "8", None),
        answer("8", "8", "7", None, outcome=Outcome.WRONG_ANSWER),
        answer("8", "9", None, None, outcome=Outcome.WRONG_ANSWER),
    ]
    one, two, four = summarise(answers, seconds=1)["at_k"]
    assert (one["k"], two["k"], four["k"]) == (1, 2, 4)
    assert one["pass"]["accuracy"] == one["majority"]["accuracy"] == pytest.approx((2 / 4 + 1 / 4 + 0) / 3)
    assert four["pass"]["accuracy"] == pytest.approx(2 / 3), "the oracle: every question with a right sample"
    assert four["majority"]["accuracy"] == pytest.approx(1 / 3), "spellings of one value vote together"
    for row in (one, two, four):
        for name in ("pass", "majority"):
            low, high = row[name]["ci95"]
            assert 0 <= low <= row[name]["accuracy"] <= high <= 1 and low < high
    assert "at_k" not in summarise([answer("7")], seconds=1)


def test_rounding_is_told_beside_what_counts_and_judges_the_samples_only_where_it_counts() -> None:
    answers = [answer("7"), answer("7.3", outcome=Outcome.WRONG_ANSWER), answer("9", outcome=Outcome.WRONG_ANSWER)]
    assert {name: one["correct"] for name, one in matches_of(answers, "exact").items()} == {"exact": 1, "rounded": 2}
    lenient = [answer("7"), answer("7.3"), answer("9", outcome=Outcome.WRONG_ANSWER)]
    assert matches_of(lenient, "rounded") == matches_of(answers, "exact")
    assert summarise(lenient, seconds=1, match="rounded")["matches"]["rounded"]["correct"] == 2
    votes = [answer("7.3", "7.3")]
    assert [at_k_of(votes, match)[0]["pass"]["accuracy"] for match in ("exact", "rounded")] == [0, 1]


@given(st.integers(1, 40))
def test_nothing_is_expected_of_a_program_that_failed(n: int) -> None:
    assert majority_at([], n) == [0] * n and pass_at_k(n, 0, n) == 0 and math.isclose(pass_at_k(n, n, 1), 1)
