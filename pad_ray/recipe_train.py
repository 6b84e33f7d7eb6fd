"""The recipe's section `train`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pad_ray.recipe_distill import Distill
from pad_ray.recipe_teacher import Section, Switch

Count = Annotated[int, Field(ge=1)]

Tracker = Literal["tensorboard", "mlflow", "wandb"]
"""A program that shows curves of trainings."""


class Curriculum(Section):
    """Help in front of the question that shrinks to nothing, stage by stage (SKIntern, arXiv 2409.13183)."""

    stages: int = Field(default=4, ge=2)
    """Stages of equal length; the last one trains on the bare question."""
    exemplars: int = Field(default=3, ge=0)
    """Solved questions like it that stand before a question in the first stage."""
    knowledge: bool = True
    """Whether the facts of a question, where it has some, stand before it too; at each stage fewer of their tokens."""

    @model_validator(mode="after")
    def _some_help(self) -> Self:
        if not self.exemplars and not self.knowledge:
            raise ValueError(
                "train.curriculum: with exemplars 0 and knowledge off there is no help in any stage; leave it out, or"
                " give some"
            )
        return self


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Train(Section):
    """Fine-tuning on Ray Train and DeepSpeed."""

    workers: Count | tuple[Count, Count] = 1
    """Data-parallel training workers; a training that was stopped may go on with another number. Two numbers, such as
    [1, 4]: the fewest and the most; as many as the cluster has room for, and others when that changes."""
    use_gpu: bool | Literal["auto"] = "auto"
    """One GPU per worker; auto: if the cluster has enough."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """DeepSpeed ZeRO stage."""
    offload: Literal["none", "optimizer", "parameters"] = "none"
    """What lies in the CPU's memory instead of the GPU's: the optimizer (ZeRO stages 1 to 3), which also computes its
    steps there, or the parameters too (stage 3)."""
    epochs: float = Field(default=3, gt=0)
    """Passes over the examples."""
    max_steps: int | None = Field(default=None, ge=1)
    """Stop after this many optimizer steps."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Stop after about this many tokens (prompt and completion)."""
    lr: float = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rate after the warm-up."""
    warmup: float = Field(default=0.05, ge=0, le=0.5)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    tokens_per_batch: int = Field(default=2048, ge=16)
    """Tokens (prompt and completion) of one optimizer step, over all workers."""
    micro_tokens: int = Field(default=2048, ge=16)
    """Tokens that one worker puts through the model at once; longer steps accumulate."""
    max_length: int = Field(default=512, ge=16)
    """Longer examples are dropped, and counted."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward and backward pass. auto: weights in fp32, products in bf16 where the processor has them
    (GPUs, AMX), in fp32 elsewhere; bf16: the weights too, with fp32 copies in the optimizer."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, about a third more time."""
    checkpoint_s: float = Field(default=120, gt=0)
    """Seconds between checkpoints; one is always written at the end."""
    max_failures: int = Field(default=3, ge=0)
    """How often a training that lost a worker, or the node it is on, starts again from its last state."""
    validation: float = Field(default=0.0, ge=0, le=0.5)
    """Share of the questions that are never trained on, the same ones in every round, and on which the loss is measured
    while training; 0: none."""
    validate_every: float = Field(default=0.5, gt=0)
    """Passes over the examples between two such measurements; the last step is always followed by one."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many measurements in a row without a lower loss, and export the student as it was at the lowest;
    null: train to the end and export the last. Of a curriculum only the last stage counts. Needs validation."""
    curriculum: Annotated[Curriculum | None, Switch] = None
    """Help for the questions of round 0 that shrinks while the student trains; null: none."""
    distill: Annotated[Distill | None, Switch] = None
    """A teacher to whose probabilities the student is drawn while it trains on examples; null: none."""
    tracking: Annotated[list[Tracker], BeforeValidator(_listed)] = Field(default=["tensorboard"])
    """Where the curves go besides metrics.jsonl: tensorboard (event files in the run), mlflow, wandb (if installed)."""

    @property
    def least_workers(self) -> int:
        """Workers that a training begins with at least."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """Workers that a training has at most."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]

    @model_validator(mode="after")
    def _workers_from_and_to(self) -> Self:
        if self.least_workers > self.most_workers:
            raise ValueError(
                f"train.workers: [{self.least_workers}, {self.most_workers}]: the first number (fewest) is larger than"
                " the second (most)"
            )
        return self

    @model_validator(mode="after")
    def _scattered_before_offloaded(self) -> Self:
        least = {"none": 0, "optimizer": 1, "parameters": 3}[self.offload]
        if self.zero_stage < least:
            raise ValueError(
                f"train.offload: {self.offload!r} needs train.zero_stage {least} or more, and it is {self.zero_stage}"
            )
        return self

    @model_validator(mode="after")
    def _something_to_wait_for(self) -> Self:
        if self.patience and not self.validation:
            raise ValueError(
                "train.patience: without held-out questions there is no loss to stop by; set train.validation, such as"
                " 0.05, or leave patience out"
            )
        return self
