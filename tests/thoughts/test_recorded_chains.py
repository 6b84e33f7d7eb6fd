"""5,406 chains that real models wrote, judged as whoever recorded them judged them, but for named differences.

The recording (GPT-3, gpt-3.5, gpt-4 on evaluation questions: a fixture, never training data) holds the answer that its
source took out of each chain, and the verdict on that.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.thoughts import chain

NAME = "recorded_teacher_cot_test_dev.jsonl"
DIFFERENCES = {
    # Its source took the last number of the text, right or wrong; we want the author to say what the answer is.
    ("correct", "no_answer", "never says its answer"): 17,
    ("wrong_answer", "no_answer", "never says its answer"): 26,
    # 44/3, which its source could not read.
    ("no_answer", "wrong_answer", "a fraction"): 1,
}
WRONG_PATHS = 4
"""Chains whose answer is right although a calculation in them is not."""


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, Any]]:
    if not (shared_data / NAME).exists():
        pytest.skip(f"the recording {NAME} is not beside this checkout")
    with (shared_data / NAME).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def verdict(row: dict[str, Any]) -> Outcome:
    parsed = chain.parse(row["rationale"])
    if parsed.outcome:
        return parsed.outcome
    [execution] = chain.conclude(lambda _: [], [parsed.program])
    return judge(execution, row["answer"]).outcome


def explanation(row: dict[str, Any]) -> str:
    if not chain.answer(row["rationale"]):
        says_nothing = "####" not in row["rationale"] and "answer is" not in row["rationale"]
        return "never says its answer" if says_nothing else "unexplained"
    return "a fraction" if "/" in chain.answer(row["rationale"]) else "unexplained"


def test_recorded_verdicts_are_reproduced_but_for_explained_differences(rows: list[dict[str, Any]]) -> None:
    found = [(row, verdict(row)) for row in rows]
    differing = [(row["verdict"], mine.value, explanation(row)) for row, mine in found if mine.value != row["verdict"]]
    assert Counter(differing) == DIFFERENCES
    assert len(rows) - len(differing) == 5_362


def test_a_right_answer_by_a_wrong_path_is_found(rows: list[dict[str, Any]]) -> None:
    checked = [chain.checked(row["rationale"]) for row in rows]
    assert sum(one.claims > 0 for one in checked) > 0.9 * len(rows)
    right = [one for row, one in zip(rows, checked, strict=True) if row["verdict"] == "correct"]
    wrong = [one for row, one in zip(rows, checked, strict=True) if row["verdict"] != "correct"]
    assert sum(bool(one.wrong) for one in right) == WRONG_PATHS
    assert sum(bool(one.wrong) for one in wrong) > 100
