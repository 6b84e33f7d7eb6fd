"""The recipe `quick` as a newcomer runs it: it learns, it shares its work, it is done only once, it can be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pad_ray.records import Example, Sample, Verdict
from pad_ray.storage import Storage

pytestmark = pytest.mark.slow


def pad_ray(*arguments: object) -> str:
    command = [sys.executable, "-m", "pad_ray.cli", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quick") / "run"
    pad_ray("distill", "quick", "--run-dir", folder)
    return folder


def status(folder: Path) -> dict[str, Any]:
    return json.loads(pad_ray("status", folder, "--json"))


@pytest.mark.timeout(900)
def test_the_student_learns_with_intervals_that_do_not_overlap(run: Path) -> None:
    accuracy = {row["round"]: row for row in status(run)["accuracy"]}
    assert set(accuracy) == {-1, 0, 1}
    assert accuracy[0]["ci95"][0] > accuracy[-1]["ci95"][1]
    assert accuracy[1]["accuracy"] >= 0.5


def test_every_fault_of_the_teacher_is_met_and_none_is_taught(run: Path) -> None:
    outcomes = status(run)["outcomes"]
    assert {"correct", "wrong_answer", "syntax_error", "runtime_error", "refused", "no_answer"} <= set(outcomes)
    summary = json.loads((run / "round-0" / "examples" / "summary.json").read_text())
    assert summary["kept"] + sum(summary["dropped"].values()) == sum(outcomes.values())
    assert summary["kept"] <= outcomes["correct"]


def test_the_student_teaches_itself_and_repairs_itself(run: Path) -> None:
    summary = json.loads((run / "round-1" / "examples" / "summary.json").read_text())
    assert summary["by_task"]["solve"] > 0
    assert summary["by_task"]["repair"] > 0
    assert summary["by_origin"] == {"student": summary["kept"]}
    storage = Storage(run)
    # Every program the student wrote is an example or is counted with the reason why not.
    written = sum(1 for _ in storage.scan_rows("round-1/samples", Sample))
    assert summary["kept"] + sum(summary["dropped"].values()) == written
    # A success is only worth training on if it is new; a repair ends in a program that was verified before.
    first = list(storage.scan_rows("round-0/examples", Example))
    second = list(storage.scan_rows("round-1/examples", Example))
    taught = {(example.problem_id, example.completion) for example in first}
    solved = {(example.problem_id, example.completion) for example in second if example.task == "solve"}
    assert not solved & taught
    assert {(e.problem_id, e.completion) for e in second if e.task == "repair"} <= taught | solved
    mixture = storage.read_rows("round-1/checkpoint/mixture.parquet", Example)
    assert {example.round for example in mixture} == {0, 1}


def test_at_least_two_workers_sampled_and_two_judged_in_each_round(run: Path) -> None:
    storage = Storage(run)
    for round_ in (0, 1):
        assert len({row.worker for row in storage.scan_rows(f"round-{round_}/samples", Sample)}) >= 2
        assert len({row.worker for row in storage.scan_rows(f"round-{round_}/verdicts", Verdict)}) >= 2


def test_a_second_call_asks_and_trains_nothing(run: Path) -> None:
    before = status(run)
    table = pad_ray("distill", "quick", "--run-dir", run)
    after = status(run)
    assert "unseen" in table
    assert [stage for stage in after["stages"] if stage["new"]] == []
    for old, new in zip(before["stages"], after["stages"], strict=True):
        assert new["reused"] == old["new"] + old["reused"]
        assert new["seconds"] == old["seconds"]


def test_the_report_stands_alone_and_names_what_it_shows(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_student_can_be_asked_and_shows_its_program(run: Path) -> None:
    student = run / "round-1" / "student"
    answer = json.loads(pad_ray("ask", "--student", student, "--json", "Solve 12 + 30"))
    assert set(answer) == {"id", "answer", "outcome", "program", "steps", "votes", "tokens", "seconds", "detail"}


def test_any_student_can_be_measured_on_any_problems(run: Path, tmp_path: Path) -> None:
    student, problems = run / "round-1" / "student", "gym://lcm?size=20&seed=800000&max_value=300"
    pad_ray("evaluate", "--student", student, "--problems", problems, "--out", tmp_path, "--limit", 10)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["n"] == 10
    assert summary["ci95"][0] <= summary["accuracy"] <= summary["ci95"][1]
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 10
