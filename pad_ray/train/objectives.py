"""What a training minimises: what is made of the student's scores, and by what the sum over a step is divided.

The loop knows nothing but this. An objective sends a micro-batch through the student in one call, because DeepSpeed
counts calls, and returns sums: of the loss first, then of the figures it shows. The loop adds them up over all
micro-batches and workers of a step and divides them by the objective's amount, so neither the number of workers nor
the cut into micro-batches changes what is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.nn import functional

from pad_ray.recipe_distill import Distill
from pad_ray.train.encode import Encoded
from pad_ray.train.packing import MicroBatch, Step, collate

Student = Callable[..., torch.Tensor]
"""Inputs of a batch → scores [N, vocabulary]: a DeepSpeed engine, or its module."""


@dataclass(frozen=True, slots=True)
class Completions:
    """Supervised fine-tuning: the negative log-likelihood of the completion tokens, in nats per token."""

    rows: tuple[Encoded, ...]
    """The examples."""
    pad: int
    """Id of the pad token."""
    start: int | None
    """The token that a decoder begins with; None for a causal student."""

    figures: ClassVar[tuple[str, ...]] = ()
    """Names of what is measured besides the loss; fields of TrainProgress."""

    def tokens(self, step: Step) -> int:
        """Completion tokens of a step, over all workers."""
        return sum(row.completion for batches in step for micro in batches for row in self.rows_of(micro))

    def amount(self, step: Step) -> int:
        """What the sums of a step are divided by."""
        return self.tokens(step)

    def rows_of(self, micro: MicroBatch) -> list[Encoded]:
        """The rows that go through the student together."""
        return [self.rows[i] for i in micro]

    def sums(self, student: Student, micro: MicroBatch, device: Any) -> torch.Tensor:
        """[1 + figures]: what is minimised, then the figures, summed over a micro-batch; the first has a gradient."""
        inputs, targets = self.batch(micro, device)
        return functional.cross_entropy(student(*inputs), targets, reduction="sum")[None]

    def batch(self, micro: MicroBatch, device: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What the student is given, and its completion tokens [N], row after row."""
        rows = self.rows_of(micro)
        batch = collate(rows, tuple(range(len(rows))), self.pad, self.start)
        return [torch.from_numpy(part).to(device) for part in batch.inputs], torch.from_numpy(batch.targets).to(device)


@dataclass(frozen=True, slots=True)
class Preferences(Completions):
    """Direct preference optimization: of each pair the right program is to gain on the wrong one.

    Per pair -log sigmoid(margin), where the margin is `beta` times by how much more the log-likelihood of the right
    program has risen above the reference than that of the wrong one (Rafailov et al. 2023, 2305.18290), plus `alpha`
    times the negative log-likelihood of the right one per token (Pang et al. 2024, 2404.19733).
    """

    reference: torch.Tensor
    """float64 [rows]: log-likelihoods under the weights that the training starts from."""
    beta: float
    """Turns gains in nats into margins."""
    alpha: float
    """Weight of the loss per token of the right programs."""

    figures: ClassVar[tuple[str, ...]] = ("margin", "accuracy")

    def amount(self, step: Step) -> int:
        """Pairs of a step, over all workers."""
        return sum(len(micro) for batches in step for micro in batches)

    def rows_of(self, micro: MicroBatch) -> list[Encoded]:
        """Two rows of each pair: the right program, the wrong one."""
        return [self.rows[row] for row in both(micro)]

    def sums(self, student: Student, micro: MicroBatch, device: Any) -> torch.Tensor:
        """[3]: the loss, the margins, and how many pairs have a positive one."""
        likelihoods = self.log_likelihoods(student, micro, device)
        gains = likelihoods - self.reference[both(micro)].to(device, likelihoods.dtype)
        margins = self.beta * (gains[0::2] - gains[1::2])
        lengths = torch.tensor([row.completion for row in self.rows_of(micro)[0::2]], device=device)
        loss = -functional.logsigmoid(margins).sum() - self.alpha * (likelihoods[0::2] / lengths).sum()
        return torch.stack([loss, margins.detach().sum(), (margins > 0).sum()])

    def log_likelihoods(self, student: Student, micro: MicroBatch, device: Any) -> torch.Tensor:
        """[2 · pairs]: log-likelihood of each completion of a micro-batch, its end-of-sequence included."""
        inputs, targets = self.batch(micro, device)
        rows = self.rows_of(micro)
        lengths = torch.tensor([row.completion for row in rows], dtype=torch.int64)
        lines = torch.arange(len(rows)).repeat_interleave(lengths).to(device)
        each = -functional.cross_entropy(student(*inputs), targets, reduction="none")
        return torch.zeros(len(rows), device=device).index_add(0, lines, each)


def both(micro: MicroBatch) -> list[int]:
    """Indices of the rows of these pairs."""
    return [row for pair in micro for row in (2 * pair, 2 * pair + 1)]


@dataclass(frozen=True, slots=True)
class Distillation(Completions):
    """What a teacher gives each token at each position of the rows; beside the loss on examples, or instead of it."""

    teacher: Student
    """Scores as the student's; it is asked without gradients."""
    tokens_known: int
    """Tokens of the tokenizer; both models may have room for more, for no token."""
    settings: Distill

    figures: ClassVar[tuple[str, ...]] = ("divergence",)

    def sums(self, student: Student, micro: MicroBatch, device: Any) -> torch.Tensor:
        """[2]: the loss, and the divergence alone."""
        inputs, targets = self.batch(micro, device)
        with torch.no_grad():
            wanted = self.teacher(*inputs)[:, : self.tokens_known].log_softmax(-1)
        scores = student(*inputs)
        given = scores[:, : self.tokens_known].log_softmax(-1)
        if self.settings.kind == "gkd":
            loss = divergence = generalized_jsd(wanted, given, self.settings.beta).sum()
        else:
            divergence = nucleus_divergence(wanted, given, self.settings.nucleus).sum()
            loss = functional.cross_entropy(scores, targets, reduction="sum") + self.settings.weight * divergence
        return torch.stack([loss, divergence.detach()])


def nucleus_divergence(teacher: torch.Tensor, student: torch.Tensor, mass: float) -> torch.Tensor:
    """[N, vocabulary] log-probabilities twice → [N]: what the teacher's nucleus adds to KL(teacher || student).

    The nucleus are the fewest tokens with at least this mass, one at least; the sum is divided by their number (PaD,
    2305.13888, appendix B).
    """
    ranked, order = teacher.exp().sort(-1, descending=True)
    kept = ranked.cumsum(-1) - ranked < mass
    kept[:, 0] = True
    gaps = teacher.gather(-1, order) - student.gather(-1, order)
    return torch.where(kept, ranked * gaps, 0.0).sum(-1) / kept.sum(-1)


def generalized_jsd(teacher: torch.Tensor, student: torch.Tensor, beta: float) -> torch.Tensor:
    """[N, vocabulary] log-probabilities twice → [N]: the generalized Jensen-Shannon divergence in nats.

    β KL(teacher || mixture) + (1 - β) KL(student || mixture), where the mixture is β teacher + (1 - β) student; at 0
    and 1, where that vanishes, KL(teacher || student) and KL(student || teacher) (Agarwal et al. 2024, 2306.13649).
    """
    if beta in (0, 1):
        near, far = (teacher, student) if beta == 0 else (student, teacher)
        return functional.kl_div(far, near, reduction="none", log_target=True).sum(-1)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    from_teacher, from_student = (
        functional.kl_div(mixture, one, reduction="none", log_target=True).sum(-1) for one in (teacher, student)
    )
    return beta * from_teacher + (1 - beta) * from_student
