"""The public sets as their authors hand them around: JSON documents and XML; every text in here is our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.errors import ProblemError
from pad_ray.problems import take_in
from pad_ray.problems.documents import json_rows, xml_rows
from pad_ray.records import Problem

ASDIV = """<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<Machine-Reading-Corpus-File>
    <ProblemSet>
        <Problem ID="nluds-0001" Grade="1" Source="http://www.example.org">
            <Body>Ada has 4 red pens &amp; 3 blue ones.</Body>
            <Question>How many pens does Ada have?</Question>
            <Solution-Type>Addition</Solution-Type>
            <Answer>7 (pens)</Answer>
            <Formula>4+3=7</Formula>
        </Problem>
        <Problem ID="nluds-0002" Grade="3" Source="http://www.example.org">
            <Body>Bo walks 2 km there and 1 km back</Body>
            <Question>How far is each way?</Question>
            <Solution-Type>Comparison</Solution-Type>
            <Answer>2 (km); 1 (km)</Answer>
            <Formula>2; 1</Formula>
        </Problem>
    </ProblemSet>
</Machine-Reading-Corpus-File>
"""
STRATEGYQA = [
    {
        "qid": "b8677742616fef051f00",
        "term": "Mule",
        "description": "Offspring of a donkey and a horse",
        "question": "Could a mule win a flying contest?",
        "answer": False,
        "facts": ["Mules have no wings.", "Flying contests are won by what can fly."],
        "decomposition": ["Can mules fly?", "What is needed in a flying contest?"],
        "evidence": [[[["Mule-1"]], ["operation"]]],
    },
    {"qid": "2", "term": "Ice", "question": "Is an ice cube solid?", "answer": True, "facts": [], "evidence": []},
]
BIG_BENCH = {
    "canary": "a line that says who may not train on it",
    "examples": [
        {"input": "Could a mule fly?", "target": "No. It has no wings.", "target_scores": {"Yes": 0, "No": 1}},
        {"input": "Is ice cold?", "target": "Yes.", "target_scores": {"Yes": 1, "No": 0}},
    ],
}
MAWPS = [
    {
        "iIndex": 7,
        "lAlignments": [0, 30],
        "lEquations": ["X=8.0-3.0"],
        "lSolutions": [5.0],
        "sQuestion": "Cy has 8 nuts and eats 3 . How many are left ?",
    }
]
BBH = {
    "canary": "another such line",
    "examples": [
        {"input": "not ( True ) and ( True ) is", "target": "False"},
        {"input": "Which is red?\nOptions:\n(A) grass\n(B) blood", "target": "(B)"},
    ],
}


def load(path: Path, task: str, text: str) -> list[Problem]:
    path.write_text(text, encoding="utf-8")
    return take_in(f"task://{task}?path={path}", "train").problems


def test_asdiv_is_read_from_the_xml_of_its_authors(tmp_path: Path) -> None:
    first, second = load(tmp_path / "ASDiv.xml", "asdiv", ASDIV)
    assert first.question == "Ada has 4 red pens & 3 blue ones. How many pens does Ada have?"
    assert (first.problem_id, first.answer, first.rationale) == ("nluds-0001", "7", "Equation: 4+3=7")
    assert (second.question, second.answer) == ("Bo walks 2 km there and 1 km back. How far is each way?", "[2, 1]")
    assert first.source == "asdiv"


def test_strategyqa_is_read_from_its_json_with_facts(tmp_path: Path) -> None:
    first, second = load(tmp_path / "strategyqa_train.json", "strategyqa", json.dumps(STRATEGYQA))
    assert (first.problem_id, first.answer, second.answer) == ("b8677742616fef051f00", "no", "yes")
    assert first.facts == tuple(STRATEGYQA[0]["facts"]) and second.facts == ()


def test_strategyqa_is_read_as_big_bench_has_it(tmp_path: Path) -> None:
    first, second = load(tmp_path / "task.json", "strategyqa", json.dumps(BIG_BENCH))
    assert [(one.question, one.answer) for one in (first, second)] == [
        ("Could a mule fly?", "no"),
        ("Is ice cold?", "yes"),
    ]


def test_mawps_is_read_from_its_json(tmp_path: Path) -> None:
    [problem] = load(tmp_path / "MAWPS.json", "mawps", json.dumps(MAWPS))
    assert (problem.problem_id, problem.answer, problem.rationale) == ("mawps/7", "5.0", "Equation: X=8.0-3.0")


def test_a_subset_of_bbh_is_named_by_its_file(tmp_path: Path) -> None:
    first, second = load(tmp_path / "boolean_expressions.json", "bbh", json.dumps(BBH))
    assert (first.answer, second.answer) == ("False", "(B)")
    assert first.source == second.source == "bbh/boolean_expressions"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "[1,", "is not JSON"),
        ("a.json", '{"question": "A?"}\n{"question": "B?"}\n', "called .jsonl"),
        ("a.json", '{"canary": "x"}', "holds no list of rows"),
        ("a.json", "[7]", "item 1 is a JSON int"),
        ("a.xml", "<a><b></a>", "is not XML"),
        ("a.xml", "<a><b/></a>", "no element <Problem>"),
        ("absent.json", None, "there is no file"),
        ("a.xml", ASDIV, "'question' is missing"),  # without task:// nobody would know what Body is
    ],
)
def test_a_document_that_cannot_be_read_says_why(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ProblemError) as raised:
        take_in(str(tmp_path / name), "train")
    assert said in f"{raised.value.message} {raised.value.hint}"


def test_target_scores_that_name_no_answer_are_refused(tmp_path: Path) -> None:
    rows = [{"input": "A?", "target_scores": {"Yes": 0, "No": 0}}]
    with pytest.raises(ProblemError, match="item 1: target_scores must say of one answer"):
        load(tmp_path / "task.json", "strategyqa", json.dumps({"examples": rows}))


@given(data=st.binary(max_size=80), kind=st.sampled_from(["json", "xml"]))
def test_whatever_a_file_holds_it_is_rows_or_a_sentence(data: bytes, kind: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(data)
    try:
        assert all(isinstance(row, dict) for _, row in (json_rows if kind == "json" else xml_rows)(path))
    except ProblemError as error:
        assert str(path) in error.message
