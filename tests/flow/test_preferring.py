"""A round that learns preferences: its pairs lie beside its examples, and its student comes from both trainings.

Its examples are learned from a teacher, so the student's own replies are too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.evaluate.sentences import yield_sentences
from pad_ray.evaluate.story import read_story
from pad_ray.flow.curating import curate
from pad_ray.flow.progress import Reporter
from pad_ray.flow.training import train_round
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Attempt, Example, Pair
from pad_ray.run import Run, open_run
from tests.refine.judged_rounds import PROBLEMS, write_judged_rounds
from tests.tiny_student import make_tiny_student

pytestmark = [pytest.mark.usefixtures("ray_session"), pytest.mark.slow]


def quiet() -> Reporter:
    return Reporter(Console(quiet=True))


def curated(run: Run) -> None:
    write_judged_rounds(run.storage)
    counts = {"asked": PROBLEMS // 2, "correct": PROBLEMS // 2}
    for round_ in (0, 1):
        with run.stage(round_, "judge") as stage:
            stage.counts = {"by_source": dict.fromkeys("ab", counts)}
        curate(run, round_, quiet())


@pytest.mark.long
@pytest.mark.parametrize("examples", [True, False])
def test_pairs_are_learned_before_the_examples_or_alone_where_there_are_none(tmp_path: Path, examples: bool) -> None:
    tree: dict[str, Any] = {
        "name": "t",
        "problems": {"train": "none"},
        "student": {"model": "none"},
        "train": {"use_gpu": False, "lr": 1e-3, "distill": {"kind": "gkd", "teacher": "brought", "on_policy": 0.25}},
        "refine": {"preference": {"epochs": 2}, "successes": examples, "repairs": examples},
    }
    folder = tmp_path / "run"
    with open_run(parse_recipe(tree), str(folder)) as run:
        curated(run)
        pairs = list(run.storage.scan_rows("round-1/pairs", Pair))
        assert len(pairs) == PROBLEMS // 3
        counts = run.done(1, "curate")
        assert counts and counts.counts["pairs"] == {"kept": len(pairs), "dropped": {}}
        (said,) = (one for one in yield_sentences(read_story(run.storage)) if one.startswith("Round 1"))
        assert f", {len(pairs)} made a pair with a right program" in said
        for name in ("round-0/student", "base/teacher"):
            make_tiny_student(folder / name)
        train_round(run, 1, quiet())
        stage = run.done(1, "train")
    assert stage and stage.counts["checkpoint"]["student"] == "round-1/student"
    preference = stage.counts["preference"]
    assert preference["pairs"] == len(pairs)
    assert preference["checkpoint"]["parent"] == "round-0/student"
    first = json.loads((folder / "round-1/preference/metrics.jsonl").read_text().splitlines()[0])
    assert "divergence" not in first
    assert (first["margin"], first["lr"]) == (pytest.approx(0, abs=1e-4), pytest.approx(1e-4, rel=0.5))
    assert stage.new == sum(
        one["steps"] for one in (preference["checkpoint"], stage.counts["checkpoint"])[: 1 + examples]
    )
    assert (folder / "round-1/student/pad_ray.json").exists()
    if examples:
        assert (
            stage.counts["checkpoint"]["parent"] == preference["checkpoint"]["student"] == "round-1/preference/student"
        )
        mixture = run.storage.read_rows("round-1/checkpoint/mixture.parquet", Example)
        assert {one.round for one in mixture} == {0, 1}
        attempts = run.storage.read_rows("round-1/checkpoint/attempts.parquet", Attempt)
        assert stage.counts["attempts"] == len(attempts) == round(len(mixture) / 3)
        assert "divergence" in (folder / "round-1/checkpoint/metrics.jsonl").read_text()
