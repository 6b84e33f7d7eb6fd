"""A run with a time budget is measured once, and every later stage holds to what was settled."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.flow.calibrate import calibrate
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import BASE
from pad_ray.flow.training import limit_of
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Problem
from pad_ray.refine.rounds import jobs_of
from pad_ray.run import Run, open_run
from pad_ray.thoughts.program import student_prompt
from tests.tiny_student import make_tiny_student

pytestmark = pytest.mark.usefixtures("ray_session")

PROGRAM = "def solution():\n    return 7\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": "none", "eval": {"easy": "none"}},
            "student": {"model": str(make_tiny_student(tmp_path / "student"))},
            "train": {"max_tokens": 5000, "tokens_per_batch": 256, "micro_tokens": 256},
            "decode": {"max_tokens": 48, "batch_size": 4},
            "budget": {"minutes": 15},
        }
    )


def prepare(run: Run, student: Path) -> None:
    """What the stages before would have left."""
    shutil.copytree(student, run.storage.path(BASE))
    problems = [Problem(f"p{number}", f"{number} and two?", "7") for number in range(40)]
    run.storage.write_rows("problems/train/shard-00000.parquet", Problem, problems)
    examples = [
        Example(
            example_id=problem.problem_id,
            task="solve",
            thought="program",
            prompt=student_prompt(problem.question),
            completion=PROGRAM,
            problem_id=problem.problem_id,
            origin="teacher",
            round=0,
        )
        for problem in problems
    ]
    run.storage.write_rows("round-0/examples/shard-00000.parquet", Example, examples)
    with run.stage(0, "plan") as stage:
        stage.counts = {"problems": 40, "suites": {"easy": {"problems": 45}}}
    with run.stage(0, "curate"):
        pass


def test_a_budget_is_measured_once_and_held_to(recipe: Recipe, tmp_path: Path) -> None:
    reporter = Reporter(Console(quiet=True))
    with open_run(recipe, str(tmp_path / "run")) as run:
        assert run.sizes is None and not run.complete
        prepare(run, tmp_path / "student")
        calibrate(run, reporter)
        sizes = run.sizes
        assert sizes is not None
        assert 30 <= sizes.questions <= 45
        assert 0 < sizes.seconds < 15 * 60
        assert {job.limit for job in jobs_of(run, 0)} == {sizes.questions}
        # The recipe's own limit still counts.
        assert limit_of(run, 0) == min(5000, sizes.train_tokens)
        assert limit_of(run, 1) == min(5000, sizes.refine_tokens)
    with open_run(recipe, str(tmp_path / "run")) as run:
        settled = run.sizes
        calibrate(run, reporter)
        assert run.sizes == settled == sizes


def test_a_recipe_without_a_budget_is_not_measured(recipe: Recipe, tmp_path: Path) -> None:
    free = recipe.model_copy(update={"budget": recipe.budget.model_copy(update={"minutes": None})})
    with open_run(free, str(tmp_path / "run")) as run:
        prepare(run, tmp_path / "student")
        calibrate(run, Reporter(Console(quiet=True)))
        assert run.sizes is None and run.manifest.find(-1, "calibrate") is None
        assert limit_of(run, 0) == 5000
