"""Problems on the way in: identity, answers, duplicates, and errors that name file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pad_ray.errors import ProblemError
from pad_ray.problems import take_in
from pad_ray.records import Problem, Step


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"p{number}", "question": f"What is {number} + 1?", "answer": number + 1, **more}


def test_rows_become_problems_with_every_field(tmp_path: Path) -> None:
    steps = [{"subquestion": "a?", "subanswer": "b"}, {"question": "c?", "answer": "d"}]
    full = row(1, problem_id="mine", source="unit", rationale="because", steps=steps, facts=["f"])
    (problem,) = take_in(write(tmp_path / "p.jsonl", full), "train").problems
    expected_steps = (Step("a?", "b"), Step("c?", "d"))
    assert problem == Problem("mine", "What is 1 + 1?", "2", "unit", "train", "because", expected_steps, ("f",))


def test_nulls_among_steps_and_facts_are_no_words(tmp_path: Path) -> None:
    steps = [{"question": None, "answer": "3 * 4 = 12"}, {"question": "c?", "answer": None}]
    (problem,) = take_in(write(tmp_path / "p.jsonl", row(1, steps=steps, facts=[None, "f"])), "train").problems
    assert problem.steps == (Step("", "3 * 4 = 12"), Step("c?", "")) and problem.facts == ("f",)


def test_a_file_of_windows_reads_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(row(1)) + "\r\n", encoding="utf-8-sig")
    (problem,) = take_in(str(tmp_path / "a.jsonl"), "train").problems
    assert (problem.problem_id, problem.answer) == ("p1", "2")


def test_a_question_of_a_suite_is_known_in_other_quotes_and_dashes(tmp_path: Path) -> None:
    suite = take_in(write(tmp_path / "s.jsonl", row(1, question="What is Ada’s age – in “years”？")), "test").problems
    rows = (row(2, question='What is Ada\'s age - in "years"?'), row(3))
    found = take_in(write(tmp_path / "t.jsonl", *rows), "train", exclude=suite)
    assert found.dropped == {"in_evaluation": 1} and [one.problem_id for one in found.problems] == ["p3"]


def test_a_row_without_id_gets_one_from_its_content(tmp_path: Path) -> None:
    plain = {"question": "a", "answer": "1"}
    (first,) = take_in(write(tmp_path / "a.jsonl", plain), "train").problems
    (second,) = take_in(write(tmp_path / "b.jsonl", {"answer": "1", "question": "a"}), "train").problems
    assert first.problem_id == second.problem_id != ""


def test_zero_is_an_id_and_a_boolean_is_none(tmp_path: Path) -> None:
    rows = [row(1, id=0), row(2, id=False), row(3, problem_id="", id=3)]
    ids = [problem.problem_id for problem in take_in(write(tmp_path / "p.jsonl", *rows), "train").problems]
    assert (ids[0], len(ids[1]), ids[2]) == ("0", 16, "3")


def test_the_mark_of_gsm8k_separates_rationale_and_answer(tmp_path: Path) -> None:
    (problem,) = take_in(write(tmp_path / "a.jsonl", {"question": "a", "answer": "2+2=4\n#### 4"}), "train").problems
    assert (problem.answer, problem.rationale) == ("4", "2+2=4")


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        row(1),
        row(1),
        row(2, answer=None),
        row(3, answer=" "),
        row(4) | {"question": row(1)["question"]},
        row(5),
        row(6),
    ]
    held_out = [Problem("e", row(5)["question"], "6")]
    intake = take_in(write(tmp_path / "p.jsonl", *rows), "train", limit=1, exclude=held_out)
    assert [problem.problem_id for problem in intake.problems] == ["p1"]
    assert intake.dropped == {
        "duplicate": 1,
        "conflicting_answer": 1,
        "no_answer": 2,
        "in_evaluation": 1,
        "over_limit": 1,
    }


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(1), "{broken"], r"p\.jsonl:2 is not JSON"),
        ([row(1), "", "[1]"], r"p\.jsonl:3 is a JSON list"),
        ([{"answer": 1}], r"p\.jsonl:1: the key 'question'"),
        ([{"question": "  ", "answer": 1}], r"p\.jsonl:1: the key 'question'"),
        ([row(1), row(1) | {"question": "other"}], r"p\.jsonl:2: the id 'p1' stands for two different questions"),
        ([row(1, answer=[1])], r"p\.jsonl:1: the answer is a JSON list"),
        ([row(1, steps=[{"x": 1}])], r"p\.jsonl:1: a step must hold"),
        ([row(1, steps=3)], r"p\.jsonl:1: steps must be a list, this one is 3"),
        ([row(1, steps=[3])], r"p\.jsonl:1: a step must hold"),
        ([row(1, facts=3)], r"p\.jsonl:1: facts must be a list, this one is 3"),
        ([], "are empty: no rows"),
        ([row(1, answer=None)], "none can be used: 1 without an answer"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        take_in(write(tmp_path / "p.jsonl", *rows), "train")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("nowhere.jsonl", r"no file nowhere\.jsonl"),
        ("nowhere.parquet", r"no file nowhere\.parquet"),
        ("table.csv", "neither"),
        ("ftp://x/y.jsonl", "unknown scheme 'ftp'"),
        ("gym://lmc", "no gym task 'lmc'. Near: lcm"),
        ("gym://lcm?size=abc", r"gym://lcm\?size=abc: size is 'abc'"),
        ("gym://lcm?size=0", r"size=0: size is 0"),
        ("gym://lcm?size=-1", r"size=-1: size is -1"),
        ("gym://lcm?seed=zz", r"seed=zz: seed is 'zz'"),
        ("gym://lcm?max_value=2.5", r"gym://lcm\?max_value=2\.5: .* fails at item 0 with max_value=2\.5"),
        ("gym://lcm?colour=blue", "does not take these options"),
    ],
)
def test_an_unusable_uri_is_explained(uri: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        take_in(uri, "train")


def test_text_that_is_no_utf8_is_an_error_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(ProblemError, match=r"cannot read .*p\.jsonl"):
        take_in(str(tmp_path / "p.jsonl"), "train")


def test_parquet_and_compressed_files_read_alike(tmp_path: Path) -> None:
    rows = [row(1), row(2)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    with gzip.open(tmp_path / "p.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(item) + "\n" for item in rows)
    plain = take_in(write(tmp_path / "p.jsonl", *rows), "x").problems
    assert [p.problem_id for p in plain] == ["p1", "p2"]
    for name in ("p.parquet", "p.jsonl.gz"):
        assert [(p.problem_id, p.question, p.answer) for p in take_in(str(tmp_path / name), "x").problems] == [
            (p.problem_id, p.question, p.answer) for p in plain
        ]


def test_gym_problems_are_the_same_every_time() -> None:
    first = take_in("gym://lcm?size=20&seed=7", "train").problems
    assert first == take_in(["gym://lcm?size=20&seed=7"], "train").problems
    assert first[0].problem_id == "lcm/7/0"
    assert {problem.source for problem in first} == {"lcm"}


def test_the_gym_tail_about_units_is_cut_off() -> None:
    problems = take_in("gym://gsm_symbolic?size=20&seed=7", "train").problems
    assert not [problem for problem in problems if "Do not include units" in problem.question]


def test_real_problems_are_taken_whole(shared_data: Path) -> None:
    intake = take_in(str(shared_data / "gsm8k_train.jsonl"), "train")
    assert (len(intake.problems), dict(intake.dropped)) == (7473, {})
