"""Reading answers and deciding whether they are right, always in the parent, always on text."""

from pad_ray.grading.compare import Comparison, compare
from pad_ray.grading.verdict import judge

__all__ = ["Comparison", "compare", "judge"]
