"""Recordings: who they are about, which reply is which, and what is said of a reply that is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import RecordingError
from pad_ray.records import Request
from pad_ray.teacher.recorded import RecordedTeacher


def recording(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def request(problem_id: str, k: int) -> Request:
    return Request(f"{problem_id}#program.r0.k{k}", problem_id, k, (), "m", 0.0, 1, 0)


def test_k_counts_the_replies_of_a_problem_in_file_order_over_all_files(tmp_path: Path) -> None:
    one = recording(tmp_path / "1", {"problem_id": "a", "text": "first"}, {"gsm8k_id": "b", "raw": "other"})
    two = recording(tmp_path / "2", {"question_id": "a", "text": "second", "entry": "ans"})
    teacher = RecordedTeacher([one, two])
    assert (teacher.recorded("a"), teacher.recorded("b"), teacher.recorded("c")) == (2, 1, 0)
    samples = list(teacher.sample([request("a", 1), request("a", 0), request("b", 0)]))
    assert [sample.text for sample in samples] == ["second", "first", "other"]
    assert samples[0].entry == "ans"
    assert all(sample.cached and not sample.cost_usd for sample in samples)


def test_a_bare_program_is_parsed_as_code_whatever_it_starts_with(tmp_path: Path) -> None:
    from pad_ray.thoughts.program import parse

    path = recording(tmp_path / "r", {"problem_id": "a", "program": "for i in range(3):\n    ans = i"})
    (sample,) = RecordedTeacher([path]).sample([request("a", 0)])
    assert parse(sample.text).program == "for i in range(3):\n    ans = i\n"


def test_the_first_text_that_is_not_blank_is_the_reply(tmp_path: Path) -> None:
    rows = [{"problem_id": 0, "text": " ", "raw": "second"}, {"problem_id": 0, "text": "", "program": ""}]
    teacher = RecordedTeacher([recording(tmp_path / "r", *rows)])
    assert [sample.text for sample in teacher.sample([request("0", 0), request("0", 1)])] == ["second", ""]


def test_a_reply_that_was_not_recorded_is_a_permanent_error_of_its_own_row(tmp_path: Path) -> None:
    path = recording(tmp_path / "r", {"problem_id": "a", "text": "x"})
    good, bad = RecordedTeacher([path]).sample([request("a", 0), request("a", 1)])
    assert (good.error, bad.transient) == ("", False)
    assert "k=1" in bad.error


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "x"}], ":1: a recorded reply must name its problem"),
        ([{"id": "a", "problem_id": "a"}], ":1: .*text"),
        ([{"problem_id": "a", "text": "x", "prompt_tokens": "n/a"}], ":1: prompt_tokens is 'n/a'"),
    ],
)
def test_a_row_that_is_no_reply_is_named(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(RecordingError, match=said) as raised:
        RecordedTeacher([recording(tmp_path / "r", *rows)])
    assert raised.value.exit_code == 2


def test_an_empty_or_missing_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no replies"):
        RecordedTeacher([recording(tmp_path / "r")])
    with pytest.raises(RecordingError, match=r"teacher\.path: there is no file"):
        RecordedTeacher([str(tmp_path / "nowhere")])
    with pytest.raises(RecordingError, match=r"teacher\.path is empty"):
        RecordedTeacher([])
