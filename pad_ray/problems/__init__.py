"""Questions with known answers: from files, from generators, checked and counted on the way in."""

from pad_ray.problems.intake import Intake, take_in

__all__ = ["Intake", "take_in"]
