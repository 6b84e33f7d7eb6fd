"""A local chat model as the teacher of a whole run, through the samplers on a real Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.errors import StudentError
from pad_ray.evaluate.folder import suites
from pad_ray.flow.plan import plan
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Sample
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from tests.tiny_student import make_tiny_student


def recipe_of(folder: Path, model: str) -> Recipe:
    rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(3)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    teacher = {"kind": "hf", "model": model, "samples": 2, "temperature": [0.0, 1.0], "max_tokens": 8, "workers": 1}
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": str(folder / "problems.jsonl")},
            "teacher": teacher,
            "student": {"model": "none"},
        }
    )


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_local_model_fills_the_rows_of_a_run_and_costs_nothing(tmp_path: Path) -> None:
    model = make_tiny_student(tmp_path / "model", context=2048)
    with open_run(recipe_of(tmp_path, str(model)), str(tmp_path / "run")) as run:
        plan(run, 0)
        sample_and_judge(run, 0, Reporter(Console(quiet=True)))
    samples = list(Storage(tmp_path / "run").scan_rows("round-0/samples", Sample))
    assert len(samples) == 6
    assert all(sample.completion_tokens and not sample.error for sample in samples)
    found = status(tmp_path / "run")
    assert sum(found["outcomes"].values()) == 6
    assert found["spend"]["usd"] == 0
    assert found["spend"]["completion_tokens"] == sum(sample.completion_tokens for sample in samples)


def test_a_model_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    with open_run(recipe_of(tmp_path, str(tmp_path / "none")), str(tmp_path / "run")) as run:
        plan(run, 0)
        with pytest.raises(StudentError, match=r"^teacher\.model: "):
            sample_and_judge(run, 0, Reporter(Console(quiet=True)))


def test_a_suite_of_an_earlier_plan_is_no_suite_of_the_run(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "none")
    for suite in ("old", "new"):
        problems = recipe.problems.model_copy(update={"eval": {suite: "gym://lcm?size=3&seed=1"}})
        with open_run(recipe.model_copy(update={"problems": problems}), str(tmp_path / "run")) as run:
            plan(run, 0)
    assert suites(Storage(tmp_path / "run")) == ["new"]
