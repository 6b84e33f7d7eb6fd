"""The stage that measures the untrained student: every suite in every way, once, from what is curated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.decode import transformers_engine
from pad_ray.errors import UsageError
from pad_ray.evaluate.folder import read_answers
from pad_ray.evaluate.job import EvaluateJob
from pad_ray.evaluate.run import _evaluate_here, evaluate_all
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import BASE
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode, Recipe, SandboxSettings
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Problem
from pad_ray.refine.rounds import evaluate_round
from pad_ray.run import Run, open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from pad_ray.thoughts.direct import plain_prompt
from pad_ray.thoughts.program import student_prompt
from tests.tiny_student import make_tiny_student

QUESTION = "Five and two?"
RIGHT = "def solution():\n    return 7\n"
WAYS = ["direct", "zero_shot", "few_shot"]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows the answer to one question and a program for it; its context has room for exemplars."""
    pairs = [(plain_prompt(QUESTION), " 7"), (student_prompt(QUESTION), RIGHT)]
    return make_tiny_student(tmp_path_factory.mktemp("student"), pairs, context=1024)


def recipe(student: Path, **evaluate: Any) -> Recipe:
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": "none", "eval": {"easy": "none", "hard": "none"}},
            "sandbox": {"level": "unsafe"},
            "student": {"model": str(student)},
            "decode": {"max_tokens": 48, "batch_size": 2},
            "evaluate": evaluate,
        }
    )


def write_data(run: Run, student: Path) -> None:
    """What the stages before would have left."""
    for suite, count in (("easy", 1), ("hard", 3)):
        problems = [Problem(f"{suite}{number}", f"{QUESTION}{' ' * number}", "7") for number in range(count)]
        run.storage.write_rows(f"problems/eval/{suite}.parquet", Problem, problems)
    examples = [
        Example(
            f"t{n}#program.r0.k0",
            "solve",
            "program",
            student_prompt(f"{n}?"),
            RIGHT,
            f"t{n}",
            "teacher",
            0,
            "ab"[n % 2],
        )
        for n in range(6)
    ]
    run.storage.write_rows("round-0/examples/shard-0.parquet", Example, examples)
    target = run.storage.path(BASE)
    target.parent.mkdir(parents=True)
    target.symlink_to(student)


def finish(run: Run, *stages: Any) -> None:
    for stage in stages:
        with run.stage(0, stage):
            pass


def job(root: Path, student: Path, way: Any) -> EvaluateJob:
    decode, sandbox = Decode(max_tokens=4), SandboxSettings(level="unsafe")
    return EvaluateJob(str(root), "none", str(student), f"{student.name}/{way}", decode, sandbox, prompt=way)


@pytest.mark.usefixtures("ray_session")
def test_the_untrained_student_is_measured_on_every_suite_in_every_way_and_resumes_by_folder(
    student: Path, tmp_path: Path
) -> None:
    folder, reporter = tmp_path / "run", Reporter(Console(quiet=True))
    with open_run(recipe(student), str(folder)) as run:
        write_data(run, student)
        finish(run, "plan", "curate")
        evaluate_round(run, -1, reporter)
    found = status(folder)
    rows = {(row["suite"], row["prompt"]): row for row in found["accuracy"]}
    assert list(rows) == [(suite, way) for way in WAYS for suite in ("easy", "hard")]
    assert {(row["round"], row["n"]) for row in found["accuracy"] if row["suite"] == "hard"} == {(-1, 3)}
    assert all({"round", "suite", "prompt", "accuracy", "ci95", "n"} <= row.keys() for row in found["accuracy"])
    # What it knows it knows in the two forms it was asked in.
    assert rows["easy", "direct"]["accuracy"] == rows["easy", "zero_shot"]["accuracy"] == 1
    assert rows["easy", "direct"]["executable_rate"] == 0

    summaries = {way: json.loads((folder / f"base/eval/hard/{way}/summary.json").read_text()) for way in WAYS}
    assert [summary["prompt"] for summary in summaries.values()] == WAYS
    assert len(set(summaries["few_shot"]["exemplars"])) == 4 and "exemplars" not in summaries["direct"]
    assert {name[1] for name in summaries["few_shot"]["exemplars"]} <= set("012345")
    [answer] = read_answers(Storage(folder), "base/eval/easy/direct")
    assert (answer.outcome, answer.answer, answer.program) == (Outcome.CORRECT, "7", "")

    # Killed before the last folder was whole: the others are not made again.
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("base/eval/*/*/summary.json")}
    (folder / "base/eval/hard/zero_shot/summary.json").unlink()
    with open_run(recipe(student), str(folder)) as run:
        stage = run.manifest.find(-1, "evaluate")
        assert stage
        stage.state = "partial"
        evaluate_round(run, -1, reporter)
        assert (stage.new, stage.reused) == (3, 9)
    again = {path: path.stat().st_mtime_ns for path in folder.glob("base/eval/*/*/summary.json")}
    assert again.keys() == kept.keys()
    assert [path.parent.name for path in kept if kept[path] != again[path]] == ["zero_shot"]
    assert sorted(map(str, status(folder)["accuracy"])) == sorted(map(str, found["accuracy"]))


def test_one_load_of_the_model_serves_all_jobs(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Any] = []
    load = transformers_engine.load_student
    monkeypatch.setattr(transformers_engine, "load_student", lambda *args: loads.append(args) or load(*args))
    problems = [Problem("p", QUESTION, "7")]
    steps = list(_evaluate_here([(job(tmp_path, student, way), problems) for way in WAYS]))
    assert steps == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert len(loads) == 1


def test_a_student_with_a_card_is_trained_and_is_never_asked_for_programs_in_a_chat(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chat(_: Any, messages: Any) -> str:
        chats.append(messages[-1].content)
        return "chat"

    chats: list[str] = []
    monkeypatch.setattr(transformers_engine.TransformersEngine, "chats", True)
    monkeypatch.setattr(transformers_engine.TransformersEngine, "chat", chat)
    trained = shutil.copytree(student, tmp_path / "trained")
    (trained / "pad_ray.json").write_text('{"format_version": 1, "thought": "program"}')
    for number, folder in enumerate((trained, student)):
        list(_evaluate_here([(job(tmp_path, folder, "zero_shot"), [Problem("p", QUESTION, "7")])]))
        assert chats == [QUESTION] * number


def test_jobs_of_several_students_are_refused(student: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="several students"):
        list(evaluate_all([job(tmp_path, student, "direct"), job(tmp_path, tmp_path, "direct")]))


def test_exemplars_need_what_was_curated_and_the_other_ways_only_the_plan(student: Path, tmp_path: Path) -> None:
    reporter = Reporter(Console(quiet=True))
    for ways, message in ((WAYS, "no finished stage 'curate'"), ([], "evaluate.baselines is empty")):
        with (
            pytest.raises(UsageError, match=message),
            open_run(recipe(student, baselines=ways), str(tmp_path / f"run-{len(ways)}")) as run,
        ):
            finish(run, "plan")
            evaluate_round(run, -1, reporter)
    with (
        pytest.raises(UsageError, match="no finished stage 'plan'"),
        open_run(recipe(student, baselines=["direct"]), str(tmp_path / "run")) as run,
    ):
        evaluate_round(run, -1, reporter)
