"""Held-out questions: which they are, the loss on them while the student trains, and when that says to stop.

The split is by question and by hash: every program of a question, and of the questions that were made of it, is on the
same side in every round. (PaD holds out the first part of its file, in which one question occurs in many rounds.)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pad_ray.errors import NothingToTrainOn, TrainError
from pad_ray.recipe_train import Train
from pad_ray.records import Example
from pad_ray.thoughts.rewriting import root_of
from pad_ray.train.encode import Encoded, Encoding
from pad_ray.train.packing import Step, plan

if TYPE_CHECKING:
    from pad_ray.train.checkpoint import State


def split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """The examples to learn from, and those of about this share of the questions.

    Raises NothingToTrainOn when nothing is left to learn from.
    """
    learned = [example for example in examples if not is_held_out(example.problem_id, share)]
    held_out = [example for example in examples if is_held_out(example.problem_id, share)]
    if held_out and not learned:
        raise NothingToTrainOn(
            f"there is nothing to train on: train.validation = {share} holds out every question of the"
            f" {len(held_out)} examples.",
            hint="Give more questions, or lower it.",
        )
    return learned, held_out


def is_held_out(problem_id: str, share: float) -> bool:
    """Whether a question is never trained on; what was made of it, however often rewritten, goes with it."""
    digest = hashlib.blake2b(f"held out/{root_of(problem_id)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 < share


def watch_training(
    encoding: Encoding,
    steps: Sequence[Step],
    settings: Train,
    *,
    workers: int,
    trained: int,
    pad: int,
    keep: Callable[[State], None],
    bare: int = 0,
) -> HeldOut:
    """What watches a training of these steps over so many `trained` rows, with these held-out ones.

    Rows before the row `bare` have help; the steps with them are looked at, and count for nothing.
    """
    batches = plan(
        *encoding.sides,
        workers=workers,
        tokens_per_batch=workers * settings.micro_tokens,
        micro_tokens=settings.micro_tokens,
        epochs=1,
        seed=0,
    )
    due = validation_steps(steps, trained, settings.validate_every)
    helped = sum(any(row < bare for of in step for micro in of for row in micro) for step in steps)
    return HeldOut(encoding.rows, batches.steps, due, settings.patience, pad, keep, helped)


def validation_steps(steps: Sequence[Step], rows: int, every: float) -> frozenset[int]:
    """Numbers of the steps (the first is 1) after which the loss is measured.

    They complete `every` passes over the rows, or once more as many; and the last step.
    """
    due, seen = {len(steps)}, 0
    for number, step in enumerate(steps, start=1):
        before, seen = seen, seen + sum(len(micro) for batches in step for micro in batches)
        if seen // (every * rows) > before // (every * rows):
            due.add(number)
    return frozenset(due)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a training is watched by; without rows it is not watched."""

    rows: tuple[Encoded, ...]
    """The held-out examples."""
    batches: tuple[Step, ...]
    """The same rows once, dealt to the workers: each has as many micro-batches as the others."""
    due: frozenset[int]
    """Numbers of the steps after which the loss is measured."""
    patience: int | None
    """Measurements in a row without a lower loss that end the training."""
    pad: int
    """Id of the pad token."""
    keep: Callable[[State], None]
    """Keeps the student as it is now; called where it is better than ever, if the best is what is wanted."""
    helped: int = 0
    """First steps of which none counts, because the questions of a curriculum had help in them."""

    @property
    def wants_best(self) -> bool:
        """Whether the student of the lowest loss is exported, instead of the last."""
        return bool(self.rows) and self.patience is not None

    def look(self, engine: Any, state: State) -> tuple[State, float | None]:
        """The state that knows the loss after its last step, and that loss; where none is due, the state as it is.

        Every worker calls this after every step.
        """
        if not self.rows or state.step not in self.due:
            return state, None
        loss = self.loss(engine)
        if state.step <= self.helped:
            return state, loss
        if loss >= state.best_loss:
            return replace(state, waited=state.waited + 1), loss
        state = replace(state, best_step=state.step, best_loss=loss, waited=0)
        if self.wants_best:
            self.keep(state)
            engine.train()
        return state, loss

    def kept(self, state: State) -> bool:
        """Whether the student was kept after the last step of this state."""
        return self.wants_best and state.step == state.best_step

    def stops(self, state: State) -> bool:
        """Whether the training ends with this state, however many steps were planned."""
        return self.wants_best and self.patience is not None and state.waited >= self.patience

    def loss(self, engine: Any) -> float:
        """Mean loss of the held-out rows in nats per completion token, summed over all workers.

        Raises TrainError when it is not a number.
        """
        import torch

        from pad_ray.train.objectives import Completions

        objective = Completions(self.rows, self.pad, engine.module.start)
        engine.eval()
        total = torch.zeros(1, dtype=torch.float64, device=engine.device)
        with torch.no_grad():
            for step in self.batches:
                # With ZeRO 3 the workers gather weights together, so all go through the same number of batches.
                for micro in step[engine.global_rank]:
                    total += objective.sums(engine.module, micro, engine.device)
        if engine.world_size > 1:
            torch.distributed.all_reduce(total)
        engine.train()
        loss = total.item() / sum(row.completion for row in self.rows)
        if not math.isfinite(loss):
            raise TrainError(
                f"the loss on the held-out questions became {loss} at step {engine.global_steps}: training has"
                " diverged.",
                hint="Lower train.lr or train.max_grad_norm, or raise train.warmup.",
            )
        return loss

    def facts(self, state: State, questions: int) -> dict[str, Any]:
        """What `summary.json` says of it; empty for a training that was not watched."""
        if not self.rows:
            return {}
        measured = {
            "questions": questions,
            "examples": len(self.rows),
            "best_step": state.best_step,
            "best_loss": state.best_loss,
            "exported_step": state.best_step if self.wants_best else state.step,
            "stopped_early": self.stops(state),
        }
        return {"validation": measured}
