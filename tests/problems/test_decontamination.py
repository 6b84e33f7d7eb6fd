"""Runs of thirteen words: what counts as shared, against a plain search, and what becomes of it at the intake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.problems import take_in
from pad_ray.problems.decontamination import RUN, EvaluationRuns, Sharing, runs, templated_task
from pad_ray.records import Problem

ALPHABET = ["a", "bee", "12", "3.5", "Zoë"]
words = st.lists(st.sampled_from(ALPHABET), max_size=40)
thirteen = st.lists(st.sampled_from(ALPHABET), min_size=RUN, max_size=RUN)


def problem(text: str, problem_id: str = "x", source: str = "") -> Problem:
    return Problem(problem_id, text, "1", source)


def sharing(train: Problem, *evaluation: Problem) -> Sharing:
    return EvaluationRuns(evaluation).sharing(train)


@given(words, words)
def test_a_run_is_shared_exactly_when_a_plain_search_finds_one(train: list[str], evaluation: list[str]) -> None:
    text = f" {' '.join(evaluation)} "
    starts = range(len(train) - RUN + 1)
    expected = any(f" {' '.join(train[start : start + RUN])} " in text for start in starts)
    found = sharing(problem(" ".join(train)), problem(" ".join(evaluation)))
    assert found is (Sharing.TEXT if expected else Sharing.NOTHING)


@given(words, thirteen, words, words, words)
def test_a_shared_run_is_found_wherever_it_stands(
    before: list[str], run: list[str], after: list[str], prefix: list[str], suffix: list[str]
) -> None:
    train, evaluation = " ".join([*before, *run, *after]), " ".join([*prefix, *run, *suffix])
    assert sharing(problem(train), problem("unrelated"), problem(evaluation)) is Sharing.TEXT


@given(words, st.sampled_from([", ", "! ", " – ", "\n", "  ", "“", "-"]))
def test_case_and_punctuation_do_not_count(text: list[str], mark: str) -> None:
    assert runs(mark.join(text).upper() + "?") == runs(" ".join(text))


@pytest.mark.parametrize(("one", "other"), [("3", "4"), ("3.5", "35"), ("1,000", "1"), ("3.5", "3.6")])
def test_numbers_count(one: str, other: str) -> None:
    template = "Ann has {} apples and Bob has 4 pears so how many together"
    assert len(runs(template.format(one))) == len(runs(template.format(other))) == 1
    assert not runs(template.format(one)) & runs(template.format(other))


def test_twelve_words_have_no_run() -> None:
    assert runs("one two three four five six seven eight nine ten eleven twelve") == set()
    assert len(runs("one two three four five six seven eight nine ten eleven twelve thirteen")) == 1


@pytest.mark.parametrize(
    ("problem_id", "source", "task"),
    [
        ("lcm/7/0", "lcm", "lcm"),
        ("lcm/-7/12", "lcm", "lcm"),
        ("lcm/7/0", "gcd", ""),
        ("7/0", "", ""),
        ("/7/0", "", ""),
        ("gsm8k-train-00020", "gsm8k-train", ""),
    ],
)
def test_an_id_tells_the_templated_task(problem_id: str, source: str, task: str) -> None:
    assert templated_task(problem("", problem_id, source)) == task


LONG = "a farmer sells {} boxes of eggs and every single box of them holds exactly a dozen"


@pytest.mark.parametrize(
    ("train", "evaluation", "expected"),
    [
        (("sums/1/0", "sums"), [("sums/9/0", "sums")], Sharing.TEMPLATE),
        (("sums/1/0", "sums"), [("other/9/0", "other")], Sharing.TEXT),
        (("sums/1/0", "sums"), [("mine", "file")], Sharing.TEXT),
        (("mine", "file"), [("sums/9/0", "sums")], Sharing.TEXT),
        (("mine", "file"), [("theirs", "file")], Sharing.TEXT),
        (("sums/1/0", "sums"), [("sums/9/0", "sums"), ("mine", "file")], Sharing.TEXT),
        (("sums/1/0", "sums"), [], Sharing.NOTHING),
    ],
)
def test_only_within_one_gym_task_is_it_a_template(
    train: tuple[str, str], evaluation: list[tuple[str, str]], expected: Sharing
) -> None:
    theirs = [problem(LONG.format(5), *who) for who in evaluation]
    assert sharing(problem(LONG.format(4), *train), *theirs) is expected


def test_the_intake_leaves_out_shared_text_before_it_counts_the_limit_and_keeps_templates(tmp_path: Path) -> None:
    rows = [
        {"id": "leak", "question": LONG.format(1), "answer": 1},
        {"id": "same", "question": LONG.format(5), "answer": 1},
        {"id": "short", "question": "how many eggs", "answer": 1},
        {"id": "sums/1/0", "source": "sums", "question": "so " + " ".join("abcdefghijklm"), "answer": 1},
        {"id": "late", "question": "too late", "answer": 1},
    ]
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = [
        problem(LONG.format(5)),
        problem("how many eggs?"),
        problem("x " + " ".join("abcdefghijklm"), "sums/9/0", "sums"),
    ]
    intake = take_in(str(file), "train", limit=2, exclude=suite)
    assert [kept.problem_id for kept in intake.problems] == ["short", "sums/1/0"]
    assert intake.dropped == {"shares_13_gram": 1, "in_evaluation": 1, "over_limit": 1}
    assert intake.overlap == 1


def test_real_problems_lose_the_three_that_a_test_question_gives_away(shared_data: Path) -> None:
    suites = [take_in(str(shared_data / f"{name}.jsonl"), name) for name in ("gsm8k_test_dev", "svamp_dev")]
    held_out = [problem for suite in suites for problem in suite.problems]
    assert take_in(str(shared_data / "gsm8k_train.jsonl"), "train", exclude=held_out).dropped == {"shares_13_gram": 3}
