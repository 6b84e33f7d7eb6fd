"""Probes: tasks outside the training, asked before and after alike, tell what a student forgot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import ProblemError
from pad_ray.evaluate.compare import forgotten, history
from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.table import final_table
from pad_ray.flow.plan import plan, sentences
from pad_ray.flow.students import BASE
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Problem
from pad_ray.refine.rounds import jobs_of
from pad_ray.run import Run, open_run
from pad_ray.storage import Storage
from tests.evaluate.fabricated_run import write_evaluation


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def row(name: str, source: str) -> dict[str, Any]:
    return {"id": name, "question": f"What is {name}?", "answer": 2, "source": source}


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """A recipe that trains sums and probes colours."""
    return {
        "name": "t",
        "problems": {
            "train": write(tmp_path / "train.jsonl", row("a", "sums"), row("b", "sums")),
            "eval": {"dev": write(tmp_path / "dev.jsonl", row("c", "sums"))},
            "probe": {"general": write(tmp_path / "probe.jsonl", row("d", "colours"))},
        },
        "teacher": {"path": write(tmp_path / "replies.jsonl", {"problem_id": "a", "text": "x"})},
        "student": {"model": "none"},
    }


def finish(run: Run, stage: Any) -> None:
    with run.stage(0, stage):
        pass


def test_a_probe_asks_the_trained_student_exactly_what_it_asked_the_untrained_one(
    tree: dict[str, Any], tmp_path: Path
) -> None:
    with open_run(parse_recipe(tree), str(tmp_path / "run")) as run:
        plan(run, 0)
        assert "probe general: 1 problems" in sentences(run)
        examples = [Example(f"a#{n}", "solve", "program", "q", "p", f"a{n}", "teacher", 0, "sums") for n in range(9)]
        run.storage.write_rows("round-0/examples/shard-0.parquet", Example, examples)
        run.storage.path(BASE).mkdir(parents=True)
        before, after = jobs_of(run, -1), jobs_of(run, 0)
    probes = [[job for job in jobs if job.problems_name == "probe/general"] for jobs in (before, after)]
    asked = [[(job.prompt, job.problems, job.exemplars, job.decode, job.match) for job in jobs] for jobs in probes]
    assert sorted(asked[0], key=str) == sorted(asked[1], key=str)
    assert {job.prompt for job in probes[1]} == {"direct", "zero_shot", "few_shot"}
    assert len({job.out for jobs in probes for job in jobs}) == 6
    # The suites are asked as before: the trained student only in the form it learned.
    assert [job.out for job in after if job.problems_name == "dev"] == ["round-0/eval/dev"]
    # All that are asked alike lie side by side, and so go through the student together.
    order = [job.prompt for job in after]
    assert order == sorted(order, key=order.index)


def test_a_task_that_training_teaches_is_no_probe(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["problems"]["probe"]["general"] = write(tmp_path / "probe.jsonl", row("d", "colours"), row("e", "sums"))
    with (
        pytest.raises(ProblemError, match=r"problems\.probe\.general: its source 'sums' is one that problems\.train"),
        open_run(parse_recipe(tree), str(tmp_path / "run")) as run,
    ):
        plan(run, 0)


def test_a_question_of_a_probe_is_never_trained_on(tree: dict[str, Any], tmp_path: Path) -> None:
    tree["problems"]["train"] = write(tmp_path / "train.jsonl", row("a", "sums"), row("d", "sums"))
    with open_run(parse_recipe(tree), str(tmp_path / "run")) as run:
        plan(run, 0)
        assert [problem.problem_id for problem in run.storage.scan_rows("problems/train", Problem)] == ["a"]
        assert run.manifest.stages[0].counts["dropped"] == {"in_evaluation": 1}


def test_a_probe_without_a_way_to_ask_the_untrained_student_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"problems\.probe: with evaluate\.baselines empty"):
        parse_recipe({**tree, "evaluate": {"baselines": []}})


@pytest.fixture
def probed_run(finished_run: Path) -> Path:
    """A run whose last student lost two of three direct answers to a probe, and wins one when it writes programs."""
    storage = Storage(finished_run)
    storage.write_rows("problems/probe/colours.parquet", Problem, [Problem("colours/0", "q", "7")])
    rights = {
        ("base", "direct"): [True] * 9 + [False],
        ("round-0", "direct"): [True] * 9 + [False],
        ("round-1", "direct"): [False] * 8 + [True, False],
        ("base", "zero_shot"): [False] * 10,
        ("round-1", "zero_shot"): [True] + [False] * 9,
    }
    for (student, prompt), right in rights.items():
        write_evaluation(storage, f"{student}/probe/colours/{prompt}", "colours", right, prompt=prompt)
    return finished_run


def test_the_last_student_is_compared_with_the_untrained_one_asked_alike(probed_run: Path) -> None:
    plain = history(Storage(probed_run))
    lost, won = forgotten(Storage(probed_run))
    assert (lost.suite, lost.before, lost.after) == ("colours", "untrained, answers directly", "round 1")
    assert (lost.paired.gained, lost.paired.lost, lost.paired.n, lost.paired.verdict) == (0, 8, 10, "worse")
    assert (won.before, won.paired.gained, won.paired.verdict) == (
        "untrained, writes programs",
        1,
        "no clear difference",
    )
    assert all(one.suite == "sum.u-1" for one in plain), "a probe is no evaluation suite"


def test_the_terminal_and_the_page_say_what_was_forgotten(probed_run: Path) -> None:
    console = Console(width=200, record=True)
    console.print(final_table(probed_run), crop=False)
    text = console.export_text()
    assert "tasks outside the training, before and after" in text
    assert "colours (answers directly): worse than before, 10.0 % after 90.0 %, -80.0 points" in text
    page = Path(write_report(probed_run)).read_text()
    assert "What it forgot" in page and "answers directly" in page and "-80.0" in page


def test_a_run_without_probes_says_nothing_of_forgetting(finished_run: Path) -> None:
    assert "What it forgot" not in Path(write_report(finished_run)).read_text()
