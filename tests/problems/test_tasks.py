"""The public sets, in the forms in which they are handed around, become problems; all rows here are our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import ProblemError
from pad_ray.grading import Comparison, compare
from pad_ray.problems import take_in
from pad_ray.records import Problem, Step


def load(folder: Path, task: str, *rows: dict[str, Any], file: str = "rows.jsonl") -> list[Problem]:
    path = folder / file
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return take_in(f"task://{task}?path={path}", "train").problems


def test_gsm8k_keeps_its_worked_solution(tmp_path: Path) -> None:
    row = {"question": "3 boxes of 400 pens?", "answer": "3*400 = <<3*400=1200>>1200 pens.\n#### 1,200"}
    [problem] = load(tmp_path, "gsm8k", row)
    assert (problem.answer, problem.source) == ("1,200", "gsm8k")
    assert problem.rationale == "3*400 = <<3*400=1200>>1200 pens." and problem.steps == ()


def test_gsm8ks_socratic_form_becomes_steps(tmp_path: Path) -> None:
    worked = "How many eggs? ** 2*6 = <<2*6=12>>12 eggs.\nNow halve them.\nHow many halves? ** <<12/2=6>>6\n#### 6"
    [problem] = load(tmp_path, "gsm8k", {"question": "Half of 2 boxes of 6 eggs?", "answer": worked})
    assert problem.steps == (
        Step("How many eggs?", "2*6 = <<2*6=12>>12 eggs."),
        Step("", "Now halve them."),
        Step("How many halves?", "<<12/2=6>>6"),
    )


def test_asdiv_joins_story_and_question_and_drops_the_unit(tmp_path: Path) -> None:
    rows = [
        {
            "body": "Ada has 4 red pens and 3 blue ones",
            "question": "How many pens?",
            "answer": "7 (pens)",
            "formula": "4+3=7",
        },
        {"body": "Bo walks 2 km and 1 km back.", "question": "How far each way?", "answer": "2 (km); 1 (km)"},
    ]
    first, second = load(tmp_path, "asdiv", *rows)
    assert first.question == "Ada has 4 red pens and 3 blue ones. How many pens?"
    assert (first.answer, first.rationale, second.answer) == ("7", "Equation: 4+3=7", "[2, 1]")


def test_svamp_joins_body_and_question(tmp_path: Path) -> None:
    row = {"ID": "chal-900", "Body": "A pack costs 9 coins", "Question": "What do 2 packs cost?", "Answer": 18.0}
    [problem] = load(tmp_path, "svamp", row | {"Equation": "( 9.0 * 2.0 )", "Type": "Multiplication"})
    assert problem.question == "A pack costs 9 coins. What do 2 packs cost?"
    assert (problem.problem_id, problem.source) == ("chal-900", "svamp")
    assert compare("18", problem.answer) is Comparison.EQUAL


@pytest.mark.parametrize("task", ["multiarith", "mawps"])
def test_the_form_with_lists_of_solutions_is_read(tmp_path: Path, task: str) -> None:
    row = {"iIndex": 0, "sQuestion": " 8 pens, 3 are lost. Left? ", "lEquations": ["X=8-3"], "lSolutions": [5.0]}
    [problem] = load(tmp_path, task, row)
    assert (problem.problem_id, problem.question) == (f"{task}/0", "8 pens, 3 are lost. Left?")
    assert (problem.answer, problem.rationale, problem.source) == ("5.0", "Equation: X=8-3", task)
    [plain] = load(tmp_path, task, row | {"lEquations": "X=8-3"})
    assert plain.rationale == problem.rationale


def test_two_sets_that_count_from_one_may_be_taken_together(tmp_path: Path) -> None:
    uris: list[str] = []
    for number, task in enumerate(("multiarith", "mawps")):
        row = {"iIndex": 1, "sQuestion": f"{number} pens, 3 are lost. Left?", "lSolutions": [number]}
        (tmp_path / f"{task}.jsonl").write_text(json.dumps(row))
        uris.append(f"task://{task}?path={tmp_path / task}.jsonl")
    assert len(take_in(uris, "train").problems) == 2


def test_a_plus_in_a_path_is_a_plus(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    [problem] = load(tmp_path / "a+b", "svamp", {"Body": None, "Question": "How many?", "Answer": 1})
    assert problem.question == "How many?"


def test_mawps_slots_are_filled_with_their_numbers(tmp_path: Path) -> None:
    row = {"Question": "Cy has N_00 nuts and eats N_01 .", "Numbers": "7.0 2.5", "Answer": 4.5}
    [problem] = load(tmp_path, "mawps", row)
    assert (problem.question, problem.answer) == ("Cy has 7 nuts and eats 2.5 .", "4.5")
    [listed] = load(tmp_path, "mawps", row | {"Numbers": [7, 2.5]})
    assert listed.question == problem.question


def test_strategyqa_answers_yes_or_no_and_keeps_its_facts(tmp_path: Path) -> None:
    rows = [
        {"qid": "a", "question": "Can a mule fly?", "answer": False, "facts": ["Mules have no wings."]},
        {"qid": "b", "question": "Is ice solid?", "answer": True},
    ]
    first, second = load(tmp_path, "strategyqa", *rows)
    assert (first.answer, second.answer) == ("no", "yes")
    assert first.facts == ("Mules have no wings.",) and second.facts == ()
    assert compare("No.", first.answer) is Comparison.EQUAL and compare("True", second.answer) is Comparison.EQUAL
    assert compare("yes", first.answer) is Comparison.DIFFERENT


def test_bbh_is_counted_by_subset_and_its_choices_are_letters(tmp_path: Path) -> None:
    row = {"input": "Which is red?\nOptions:\n(A) grass\n(B) blood", "target": "(B)"}
    [problem] = load(tmp_path, "bbh", row, file="colours.jsonl")
    assert problem.source == "bbh/colours"
    for right in ("(B)", "B", "b", "(b)."):
        assert compare(right, problem.answer) is Comparison.EQUAL
    for wrong in ("(A)", "A", "(B) and (A)", "blood"):
        assert compare(wrong, problem.answer) is not Comparison.EQUAL
    [named] = load(tmp_path, "bbh", {"task": "sorting", "input": "Sort: b a", "target": "a b"})
    assert named.source == "bbh/sorting" and compare("A  b", named.answer) is Comparison.EQUAL


@pytest.mark.parametrize("task", ["asdiv", "svamp", "multiarith", "mawps", "bbh", "coin_flip", "last_letters"])
def test_rows_that_are_already_problems_are_taken_as_they_are(tmp_path: Path, task: str) -> None:
    row = {"id": "x", "question": "What is 1 + 1?", "answer": "2", "source": "somewhere"}
    [problem] = load(tmp_path, task, row)
    assert (problem.problem_id, problem.question, problem.answer) == ("x", "What is 1 + 1?", "2")
    assert problem.source == ("bbh/rows" if task == "bbh" else task)


@pytest.mark.parametrize(
    ("task", "row", "said"),
    [
        ("svamp", {"Body": "A.", "Answer": 1}, "'Question' is missing"),
        ("asdiv", {"body": "A.", "question": "B?"}, "'answer' is missing"),
        ("multiarith", {"sQuestion": "A?", "lSolutions": [1, 2]}, "one solution"),
        ("mawps", {"Question": "N_01?", "Numbers": "7", "Answer": 1}, "N_01 has no number"),
        ("gsm8k", {"question": "A?"}, "'answer' is missing"),
        ("strategyqa", {"input": "A?", "target_scores": None}, "target_scores must say"),
        ("strategyqa", {"input": "A?", "target_scores": ["Yes"]}, "target_scores must say"),
    ],
)
def test_a_row_that_lacks_something_is_named(tmp_path: Path, task: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said) as raised:
        load(tmp_path, task, row)
    assert "rows.jsonl:1" in raised.value.message


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("task://gsm9k?path=a.jsonl", "no task 'gsm9k'"),
        ("task://svamp", "path is missing"),
        ("task://svamp?path=a.jsonl&size=3", "no option 'size'"),
        ("task://svamp?path=absent.jsonl", "there is no file absent.jsonl"),
        ("task://coin_flip?size=none", "size is 'none'"),
        ("task://coin_flip?people=0", "people is '0'"),
        ("task://last_letters?sizes=3", "no option 'sizes'"),
    ],
)
def test_a_uri_that_cannot_be_read_says_why(uri: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        take_in(uri, "train")
