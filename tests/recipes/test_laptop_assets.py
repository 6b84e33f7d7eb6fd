"""The recipe `laptop` is what its README says: the recording, the problems it was made for, what is held out."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import RecordingError
from pad_ray.problems import take_in
from pad_ray.problems.sources import rows
from pad_ray.recipe_file import load_recipe
from pad_ray.records import Problem
from pad_ray.storage import resolve_uri
from pad_ray.teacher.recorded import RecordedTeacher, question_hash

TASKS = ("gsm_symbolic", "letter_counting", "lcm", "count_bits", "leg_counting", "spell_backward")
RECORDING = Path(resolve_uri("package://laptop/teacher.jsonl.gz"))


@pytest.fixture(scope="module")
def recording() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(RECORDING.read_bytes()).decode().splitlines()]


def uris(key: str) -> list[str]:
    problems = load_recipe("laptop").problems
    found = problems.train if key == "train" else problems.eval[key]
    return [found] if isinstance(found, str) else list(found)


def test_every_reply_still_belongs_to_the_question_it_was_recorded_for(recording: list[dict[str, Any]]) -> None:
    asked = [f"gym://{task}?size={500 if task == 'gsm_symbolic' else 60}&seed=7" for task in TASKS]
    made = {row["problem_id"]: row["question"] for uri in asked for _, row in rows(uri)}
    assert len(recording) == 660
    assert {row["question_hash"] for row in recording} == {question_hash(made[row["problem_id"]]) for row in recording}
    assert all(row["question_hash"] == question_hash(made[row["problem_id"]]) for row in recording)


def test_the_recording_holds_replies_and_ids_and_no_questions(recording: list[dict[str, Any]]) -> None:
    keys = {"problem_id", "text", "finish_reason", "completion_tokens", "question_hash"}
    assert all(row.keys() == keys for row in recording)
    tasks = Counter(row["problem_id"].split("/")[0] for row in recording)
    assert tasks == {task: 360 if task == "gsm_symbolic" else 60 for task in TASKS}


def test_a_recording_of_other_questions_with_the_same_ids_is_refused(recording: list[dict[str, Any]]) -> None:
    teacher = RecordedTeacher([str(RECORDING)])
    row = recording[0]
    with pytest.raises(RecordingError, match=r"teacher\.jsonl\.gz:1.*another question.*gsm_symbolic/7/"):
        teacher.check(Problem(problem_id=row["problem_id"], question="How many are 2 and 2?", answer="4"))


def test_no_template_of_the_held_out_suite_is_trained_on() -> None:
    train, heldout = take_in(uris("train"), "train"), take_in(uris("heldout_templates"), "heldout_templates")
    words = {problem.source for problem in heldout.problems}
    assert words == {"gsm_symbolic"} and len(heldout.problems) >= 30
    assert any(problem.source == "gsm_symbolic" for problem in train.problems)
    # The same numbers and names aside, a template is its text: the words that stay when capitals and digits are gone.
    shared = {_frame(p.question) for p in train.problems} & {_frame(p.question) for p in heldout.problems}
    assert not shared


def _frame(question: str) -> str:
    return " ".join(word for word in question.split() if word.islower() and word.isalpha())
