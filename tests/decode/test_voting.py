"""The vote: most frequent value, first seen on ties, failures abstain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pad_ray.decode.voting import vote


def test_the_most_frequent_value_wins_and_failures_abstain() -> None:
    assert vote(["3", None, "7", "", "7", None]) == ("7", {"3": 1, "7": 2})


def test_a_tie_goes_to_the_value_seen_first() -> None:
    assert vote(["3", "7", "7", "3"])[0] == "3"
    assert vote(["7", "3", "3", "7"])[0] == "7"


def test_spellings_of_one_value_count_together_under_the_first() -> None:
    assert vote(["8", "7.0", "7", "1/2", "0.5"]) == ("7.0", {"8": 1, "7.0": 2, "1/2": 2})


@given(st.permutations(["50%", "50", "0.5", "50"]))
def test_a_percent_counts_with_the_likelier_of_its_meanings_wherever_it_stands(values: list[str]) -> None:
    winner, votes = vote(values)
    assert winner in ("50", "50%") and votes == {winner: 3, "0.5": 1}


def test_noise_of_floats_does_not_split_a_value() -> None:
    assert vote(["5", "3.3000000000000003", "3.3"]) == ("3.3000000000000003", {"5": 1, "3.3000000000000003": 2})
    assert vote(["4", "1/3", "0.3333333333333333"])[0] == "1/3"


def test_values_that_cannot_be_read_are_only_like_themselves() -> None:
    assert vote(["nan", "inf", "nan"]) == ("nan", {"nan": 2, "inf": 1})


def test_nobody_voting_means_no_winner() -> None:
    assert vote([None, ""]) == (None, {})
    assert vote([]) == (None, {})


@given(st.lists(st.one_of(st.none(), st.sampled_from(["1", "2", "3"]))))
def test_votes_are_counts_and_nobody_has_more_than_the_winner(values: list[str | None]) -> None:
    winner, votes = vote(values)
    assert sum(votes.values()) == sum(value is not None for value in values)
    if votes:
        assert winner is not None and votes[winner] == max(votes.values())
