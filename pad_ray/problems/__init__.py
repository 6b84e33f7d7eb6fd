"""Questions with known answers: from files, from generators, checked and counted on the way in."""

from pad_ray.problems.intake import Intake, left_out, take_in
from pad_ray.problems.tasks import task_path

__all__ = ["Intake", "left_out", "take_in", "task_path"]
