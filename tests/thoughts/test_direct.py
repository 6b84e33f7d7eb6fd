"""An answer is read from a reply strictly, and by the same rule for right and wrong ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.grading import Comparison, compare
from pad_ray.thoughts.direct import plain_prompt, read_answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("7", "7"),
        ("The answer is 7.", "7"),
        ("3 boxes of 4 eggs make 12 eggs.", "12"),
        ("It costs $1,200.50 in all", "$1,200.50"),
        ("**-3**", "-3"),
        ("x = −3", "-3"),
        ("12-5", "5"),
        ("about 50%", "50%"),
        ("3/4", "3/4"),
        ("It takes 2 1/2 hours", "2 1/2"),
        ("It is .5", ".5"),
        ("1e3", "1e3"),
        ("one of 1,2,3", "3"),
        ("seven", ""),
        ("H2O", ""),
        ("", ""),
    ],
)
def test_where_a_number_is_asked_for_the_last_number_is_the_answer(reply: str, answer: str) -> None:
    assert read_answer(reply, "42") == answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Yes.", "Yes."),
        ("The answer is Tuesday.\nBecause it follows Monday.", "Tuesday."),
        ("Final answer: ab 3", "ab 3"),
        ("I think it is Tuesday", "I think it is Tuesday"),
        ("  \n", ""),
    ],
)
def test_where_words_are_asked_for_the_first_line_is_the_answer(reply: str, answer: str) -> None:
    assert read_answer(reply, "Tuesday") == answer


@pytest.mark.parametrize(
    ("reply", "gold", "answer"),
    [
        ("Yes, the coin is still heads up.", "no", "Yes"),
        ("The answer is no. It was flipped once.", "yes", "no"),
        ("(B) 05/01/2021", "(A)", "(B)"),
        ("(B) in May", "(B) in May", "(B) in May"),
        ("Nobody knows.", "no", "Nobody knows."),
        ("I think (B)", "(B)", "I think (B)"),
        ("No, it is Tuesday", "Tuesday", "No, it is Tuesday"),
    ],
)
def test_a_yes_or_a_choice_needs_no_line_of_its_own(reply: str, gold: str, answer: str) -> None:
    assert read_answer(reply, gold) == answer


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_a_number_is_read_as_it_was_written(number: int, gold: int) -> None:
    for written in (str(number), f"{number:,}", f"{number}.0", f"It is 5, or rather {number}."):
        read = read_answer(written, str(gold))
        assert compare(read, str(number)) is Comparison.EQUAL


def test_a_text_model_is_asked_to_go_on_with_the_answer() -> None:
    assert plain_prompt("2 + {question}?") == "Question: 2 + {question}?\nAnswer:"
