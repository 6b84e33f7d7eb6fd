"""The recipe's section `refine`: what the student learns from itself, and what a round's mixture is made of."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from pad_ray.recipe_teacher import Section, Switch

Weight = Annotated[float, Field(ge=0)]


class Operators(Section):
    """How programs are broken, by the weight of each way. The defaults are the errors of a PaD student on GSM8K."""

    name_error: Weight = 0.72
    """A variable is misspelt where it is read, or its assignment is missing."""
    unbound_local: Weight = 0.16
    """A variable is assigned below the line that reads it."""
    syntax_error: Weight = 0.12
    """A bracket, an operator, an operand or a colon is missing."""
    type_error: Weight = 0.0
    """A number is in quotes."""
    zero_division: Weight = 0.0
    """A divisor is 0."""
    wrong_value: Weight = 0.0
    """An operator or a number is another one, or two operands have changed places; the program runs and is wrong."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("refine.operators: all weights are 0; to inject no errors set refine.injected to 0")
        return self


class Preference(Section):
    """How a student learns to prefer verified programs to its own failed ones (DPO, Rafailov et al. 2023)."""

    beta: float = Field(default=0.1, gt=0)
    """How dearly it is to stay near the student it starts from."""
    alpha: float = Field(default=1.0, ge=0)
    """Weight of the loss per token of the verified programs (Pang et al. 2024), which would become less likely too
    without it; 0: pure DPO."""
    pairs_per_problem: int = Field(default=2, ge=1)
    """Most pairs of one problem in a round."""
    epochs: float = Field(default=1, gt=0)
    """Passes over the pairs of a round."""
    lr: float | None = Field(default=None, gt=0)
    """Peak learning rate; null: a tenth of the round's."""


class Refine(Section):
    """Rounds in which the student learns from its own programs."""

    rounds: int = Field(default=1, ge=0)
    """Refinement rounds after round 0."""
    samples: int = Field(default=2, ge=1)
    """Programs the student writes per training problem."""
    temperature: float = Field(default=0.7, ge=0, le=5)
    """Their sampling temperature."""
    max_tokens: int = Field(default=256, ge=1)
    """Limit on one program, in tokens."""
    limit: int | None = Field(default=None, ge=1)
    """Use at most this many training problems in a round."""
    successes: bool = True
    """Train on the student's own verified programs."""
    repairs: bool = True
    """Train on its failures paired with a verified program of the same problem."""
    injected: float = Field(default=0.0, ge=0)
    """Programs broken on purpose in a round, to be repaired, per program known to be right (the teacher's and the
    student's); those that do not fail as they were meant to are left out. 0.5: every other program; 0: none."""
    operators: Operators = Operators()
    """Which errors are injected."""
    repair_ratio: float | None = Field(default=None, gt=0)
    """Most repairs in what a round trains on (of failures and of injected errors, new and replayed) per example that is
    none; 0.5: one to two. null: as many as there are."""
    replay: float = Field(default=2.0, ge=0)
    """Earlier examples mixed in, per new example."""
    epochs: float = Field(default=1, gt=0)
    """Passes over the mixture of a round."""
    steps: int | None = Field(default=None, ge=1)
    """Exactly so many optimizer steps in a round, in as many passes as that takes, whatever epochs and train.max_tokens
    say (only train.patience ends it sooner); null: as they say."""
    lr: float | None = Field(default=None, gt=0)
    """Peak learning rate of a round; null takes train.lr."""
    fresh: bool = True
    """Let the student write programs and learn from them. false: a round trains on the earlier examples once more."""
    seed: int = Field(default=0, ge=0)
    """Another draw of what a round does after sampling: which errors are injected, what is replayed, in which order."""
    preference: Annotated[Preference | None, Switch] = None
    """Before the round's examples the student learns from pairs: a verified program and one of its own that failed at
    the same question; null: it does not."""

    @model_validator(mode="after")
    def _has_a_measure(self) -> Self:
        if self.repair_ratio is not None and not self.successes and not self.replay:
            raise ValueError(
                "refine.repair_ratio: with refine.successes off and refine.replay 0 a round has only repairs, so there"
                " is nothing to take a ratio of; leave it out, or raise refine.replay"
            )
        return self
