"""After round 0 a round whose few rows teach nothing ends with the student it began with, not with the run."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import NothingToTrainOn
from pad_ray.flow import training
from pad_ray.flow.progress import Reporter
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Checkpoint, Example, Pair
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.train.encode import Encoding
from pad_ray.train.held_out import is_held_out, split
from pad_ray.train.launch import TrainJob
from pad_ray.train.loop import plan_training

pytestmark = pytest.mark.usefixtures("ray_session")

EXAMPLE = Example("e", "solve", "program", "Q", "x = 1\n", "p", "teacher", 1, "s")
PAIR = Pair("e!pair", "program", "Q", "x = 1\n", "x = 2\n", "p", 1, "s")
TREE: dict[str, Any] = {
    "name": "t",
    "problems": {"train": "none"},
    "student": {"model": "none"},
    "train": {"use_gpu": False},
    "refine": {"preference": {}, "replay": 0},
}


def train_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, round_: int = 1, fits: tuple[str, ...] = (), pairs: bool = True
) -> tuple[dict[str, Any], list[TrainJob], str]:
    """The counts of the stage `train` where only what `fits` names can be learned, its jobs, and what was said."""
    tried: list[TrainJob] = []
    said = io.StringIO()

    def train(job: TrainJob, _: Any) -> Checkpoint:
        tried.append(job)
        if ("pairs" if job.preference else "examples") not in fits:
            raise NothingToTrainOn(f"there is nothing to train on: {job.mixture} holds 1, and none fits.")
        checkpoint = Checkpoint(job.checkpoint, job.student, job.round, job.parent, 1, 9, 0.5)
        summary = json.dumps({"state": "done", "pairs": 1, **asdict(checkpoint)})
        Storage(job.root).write(f"{job.checkpoint}/summary.json", summary.encode())
        return checkpoint

    monkeypatch.setattr(training, "train", train)
    with open_run(parse_recipe(TREE), str(folder)) as run:
        run.storage.write_rows(f"round-{round_}/examples/shard-00000.parquet", Example, [EXAMPLE])
        if pairs:
            run.storage.write_rows(f"round-{round_}/pairs/shard-00000.parquet", Pair, [PAIR])
        with run.stage(round_, "curate"):
            pass
        training.train_round(run, round_, Reporter(Console(file=said, width=300)))
        stage = run.done(round_, "train")
        assert stage
        assert training.student_of(run, round_) == stage.counts["checkpoint"]["student"]
    return stage.counts, tried, said.getvalue()


def test_a_round_of_which_nothing_fits_keeps_the_student_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, tried, said = train_one(tmp_path, monkeypatch)
    assert counts == {"checkpoint": {"student": "round-0/student"}, "skipped": "nothing new to learn"}
    assert [bool(job.preference) for job in tried] == [True, False]
    assert "round 1: prefer: there is nothing to train on: round-1/preference/pairs.parquet holds 1" in said
    assert "nothing new to learn, the student stays as it is" in said


def test_pairs_that_do_not_fit_do_not_keep_the_examples_from_being_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, tried, _ = train_one(tmp_path, monkeypatch, fits=("examples",))
    assert counts["checkpoint"]["student"] == "round-1/student" and counts["examples"] == 1
    assert "preference" not in counts
    assert tried[-1].model.endswith("round-0/student")


def test_what_the_pairs_taught_stays_where_no_example_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, _, _ = train_one(tmp_path, monkeypatch, fits=("pairs",))
    assert counts["checkpoint"]["student"] == "round-1/preference/student"
    assert counts["preference"]["pairs"] == 1
    assert counts["examples"] == 0 and counts["by_task"] == {}


def test_round_zero_has_no_student_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NothingToTrainOn):
        train_one(tmp_path, monkeypatch, round_=0, pairs=False)


def test_none_that_fits_and_all_held_out_are_both_nothing_to_train_on() -> None:
    name = next(f"p{number}" for number in range(99) if is_held_out(f"p{number}", 0.1))
    with pytest.raises(NothingToTrainOn, match="holds out every question"):
        split([replace(EXAMPLE, problem_id=name)], 0.1)
    settings = parse_recipe(TREE).train
    job = TrainJob("r", 1, "pairs.parquet", "m", "pretrained", "c", "s", settings, 1, None, 1e-3, 0)
    with pytest.raises(NothingToTrainOn, match="holds 1 pairs, and none fits"):
        plan_training(job, Encoding((), 1, pairs=True), 1)
