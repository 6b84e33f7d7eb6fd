"""Which student a round starts from and ends with."""

from __future__ import annotations

from pad_ray.run import Run
from pad_ray.storage import resolve_uri


def student_of(run: Run, round_: int) -> str:
    """Folder of the student that a round ended with; a round without anything new keeps the one before."""
    stage = run.manifest.find(round_, "train")
    return stage.counts["checkpoint"]["student"] if stage else f"round-{round_}/student"


def teaching_student(run: Run, round_: int) -> str:
    """The real folder of the student that teacher `student` loads in a round."""
    return str(run.storage.path(student_of(run, round_ - 1))) if round_ else resolve_uri(run.recipe.student.model)
