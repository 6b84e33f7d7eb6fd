"""The recipe's section `augment`: new problems that the teacher makes of the training problems."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pad_ray.recipe_teacher import UNTOLD, Section, Teacher, listed


class Augment(Section):
    """New problems that the teacher makes of the training problems, labelled by agreement; off by default."""

    kinds: list[Literal["rephrase", "change_numbers", "harder"]] = Field(default_factory=list[Any])
    """What is made of each training problem: rephrase (other words, same answer), change_numbers, harder (a further
    step). Empty: nothing, augmentation is off."""
    per_problem: int = Field(default=1, ge=1)
    """New problems of each kind that are asked for, per training problem."""
    limit: int | None = Field(default=None, ge=1)
    """Rewrite at most this many training problems, drawn by the hash of their ids."""
    temperature: float = Field(default=0.9, ge=0, le=5)
    """Sampling temperature of the rewriting."""
    max_tokens: int = Field(default=256, ge=1)
    """Limit on one new problem, in tokens."""
    votes: int = Field(default=5, ge=2)
    """Programs that the teacher writes for each new problem."""
    agree: int = Field(default=3, ge=2)
    """So many of them must give the same value, which becomes its answer; else the problem is not used. A low number
    keeps harder problems, and more wrong answers."""

    @model_validator(mode="after")
    def _can_agree(self) -> Self:
        if self.agree > self.votes:
            raise ValueError(f"augment.agree: {self.agree} programs cannot agree where augment.votes is {self.votes}")
        if twice := [kind for kind in self.kinds if self.kinds.count(kind) > 1]:
            raise ValueError(f"augment.kinds: {twice[0]!r} is there twice; raise augment.per_problem for more of it")
        if self.per_problem > 1 and self.temperature == 0:
            raise ValueError("augment.temperature: at 0 the same problem is rewritten in the same way again; raise it")
        return self

    def check(self, teacher: Teacher) -> None:
        """Raises ValueError where this teacher cannot make or solve new problems."""
        if not self.kinds:
            return
        if teacher.kind in UNTOLD:
            raise ValueError(
                f"augment.kinds: a teacher of kind {teacher.kind} cannot rewrite problems; use openai, batch, hf or"
                " vllm, or leave augment out"
            )
        if not teacher.mixed and teacher.contexts is None and not any(listed(teacher.temperature)):
            raise ValueError(
                "augment.kinds: at temperature 0 the programs of a new problem are all the same, so their agreement"
                " says nothing; raise teacher.temperature, or set teacher.contexts"
            )
