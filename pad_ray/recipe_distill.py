"""The recipe's section `train.distill`: learning from the probabilities of a teacher, not only from its programs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pad_ray.recipe_teacher import Section


class Distill(Section):
    """What a student learns token by token from a teacher whose weights are here."""

    kind: Literal["nucleus"] = "nucleus"
    """nucleus: the examples, and the teacher's likeliest tokens at each of their positions (PaD, appendix B)."""
    teacher: str = "self"
    """self: the student that the round starts from, in rounds after round 0; or a folder, its s3:// URI, a hub id, as
    for student.model. It must have the tokenizer of the student, and be of its kind."""
    nucleus: float = Field(default=0.99, gt=0, le=1)
    """Probability of the tokens that are looked at, the fewest that have it, for nucleus."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of the divergence from the teacher beside the loss on the examples, for nucleus."""
