"""What a teacher's reply to a rewriting becomes: a problem's text, or a reason why not."""

from __future__ import annotations

import pytest

from pad_ray.records import Problem
from pad_ray.thoughts.rewriting import (
    MOST_BYTES,
    augmented_sentence,
    made_by,
    new_problem,
    read_rewriting,
    rewriting_messages,
)

ORIGINAL = "Ann has 3 apples and buys 4. How many has she?"


@pytest.mark.parametrize(
    "reply",
    [
        "Bob has 5 pears and finds 6. How many are there?",
        "New problem: Bob has 5 pears and finds 6. How many are there?",
        '**Problem:** "Bob has 5 pears and finds 6. How many are there?"',
        "Bob has 5 pears and finds 6. How many are there?\n\nAnswer: 11",
        "Bob has 5 pears and finds 6. How many are there?\n\n**Solution:** 5 + 6 = 11\nso 11.",
    ],
)
def test_labels_and_solutions_around_the_new_problem_are_left_out(reply: str) -> None:
    found = read_rewriting(reply, "stop", "change_numbers", ORIGINAL)
    assert found.question == "Bob has 5 pears and finds 6. How many are there?"


@pytest.mark.parametrize(
    ("reply", "finish", "kind", "reason"),
    [
        ("Bob has 5 pears and finds 6. How", "length", "harder", "not_a_problem"),
        ("", "stop", "harder", "not_a_problem"),
        ("Sorry, no.", "stop", "harder", "not_a_problem"),
        ("How many? " * MOST_BYTES, "stop", "harder", "not_a_problem"),
        ("```python\ndef solution(): return 1\n```", "stop", "harder", "not_a_problem"),
        ("ann has 3 apples and  buys 4. How many has she?", "stop", "rephrase", "unchanged"),
        ("Of 3 apples and 4 more, how many has Ann?", "stop", "change_numbers", "unchanged"),
        ("Answer: 11", "stop", "harder", "not_a_problem"),
    ],
)
def test_what_is_no_new_problem_is_told_by_its_reason(reply: str, finish: str, kind: str, reason: str) -> None:
    assert read_rewriting(reply, finish, kind, ORIGINAL) == ("", reason)


def test_a_problem_that_speaks_of_answers_and_solutions_stays_whole() -> None:
    question = "A lab has two bottles.\nSolution A is 20% acid, B 30%.\nNote that 2 l of each are mixed. What is it?"
    assert read_rewriting(question, "stop", "harder", ORIGINAL).question == question


def test_numbers_in_words_may_change_too() -> None:
    original, made = "Ann has three apples and buys four.", "Ann has five apples and buys six."
    assert read_rewriting(made, "stop", "change_numbers", original).question == made


def test_what_became_of_them_is_told_by_kind() -> None:
    counts = {"asked": 20, "kept": 16, "unchanged": 4, "labelled": 0, "no_agreement": 16}
    said = augmented_sentence("change_numbers", counts)
    assert said == (
        "change numbers: 20 asked for, 0 with an answer (left out: 4 unchanged, 16 without agreement on an answer)"
    )


def test_the_teacher_is_shown_the_question_and_never_the_answer() -> None:
    for kind in ("rephrase", "change_numbers", "harder"):
        messages = rewriting_messages(kind, "What is {question} of 5?")
        assert messages[-1].content.endswith("Problem: What is {question} of 5?")


def test_the_name_of_a_new_problem_tells_its_parent_and_kind() -> None:
    parent = Problem("a~b/7", ORIGINAL, "7", source="apples", rationale="3 + 4", split="train")
    made = new_problem(parent, "change_numbers", 12, "Other?")
    assert made == Problem("a~b/7~change_numbers12", "Other?", "", source="apples~change_numbers", split="train")
    assert made_by(made.problem_id) == ("a~b/7", "change_numbers")
    assert made_by(made.source) == ("apples", "change_numbers")
    assert made_by(parent.problem_id) is None
