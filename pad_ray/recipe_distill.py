"""The recipe's section `train.distill`: learning from the probabilities of a teacher, not only from its programs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pad_ray.recipe_teacher import Section

IGNORED = {"nucleus": ("beta", "on_policy"), "gkd": ("nucleus", "weight")}
"""Keys that say nothing where the kind is this one."""


class Distill(Section):
    """What a student learns token by token from a teacher whose weights are here."""

    kind: Literal["nucleus", "gkd"] = "nucleus"
    """nucleus: the examples, and the teacher's likeliest tokens at each of their positions (PaD, appendix B); gkd: only
    the teacher's probabilities, on the examples and on the student's own replies (Agarwal et al. 2024)."""
    teacher: str = "self"
    """self: the student that the round starts from, in rounds after round 0; or a folder, its s3:// URI, a hub id, as
    for student.model. It must have the tokenizer of the student, and be of its kind."""
    nucleus: float = Field(default=0.99, gt=0, le=1)
    """Probability of the tokens that are looked at, the fewest that have it, for nucleus."""
    weight: float = Field(default=1.0, gt=0)
    """Weight of the divergence from the teacher beside the loss on the examples, for nucleus."""
    beta: float = Field(default=0.5, ge=0, le=1)
    """Which generalized Jensen-Shannon divergence, for gkd: from 0, where the student is to cover all that the teacher
    might write, to 1, where it is to write nothing that the teacher would not."""
    on_policy: float = Field(default=0.5, ge=0, lt=1)
    """Share of the student's own replies of the round, right or wrong, in what a round trains on, for gkd."""

    @model_validator(mode="after")
    def _another_teacher(self) -> Self:
        if self.kind == "gkd" and self.teacher == "self":
            raise ValueError(
                "train.distill.teacher: the student would learn from itself what it does anyway, because gkd takes no"
                " loss on the examples; name a teacher, or take kind: nucleus"
            )
        return self
