"""Which student a round starts from and ends with."""

from __future__ import annotations

from pathlib import Path

from pad_ray.recipe import Recipe
from pad_ray.run import Run
from pad_ray.storage import resolve_uri


def student_of(run: Run, round_: int) -> str:
    """Folder of the student that a round ended with; a round without anything new keeps the one before."""
    stage = run.done(round_, "train")
    return stage.counts["checkpoint"]["student"] if stage else f"round-{round_}/student"


def base_student(recipe: Recipe) -> str:
    """The real folder of the untrained student; absolute, because workers have other working folders."""
    return str(Path(resolve_uri(recipe.student.model)).absolute())


def teaching_student(run: Run, round_: int) -> str:
    """The real folder of the student that a round starts from."""
    return str(run.storage.path(student_of(run, round_ - 1))) if round_ else base_student(run.recipe)
