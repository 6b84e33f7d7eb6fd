"""The beginning of a training on pairs: no dropout, and the reference that every margin is measured from.

The reference is the student as the training starts. Its log-likelihoods are computed once and kept beside the
training states, so no second model is ever in memory, and a training that resumes measures from the same numbers.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pad_ray.storage import Storage
from pad_ray.train.encode import Encoding
from pad_ray.train.objectives import Preferences, both
from pad_ray.train.packing import plan

if TYPE_CHECKING:
    from pad_ray.recipe_refine import Preference
    from pad_ray.train.launch import TrainJob


def begin_preferences(
    job: TrainJob, settings: Preference, engine: Any, encoding: Encoding, pad: int, storage: Storage, mark: str
) -> Preferences:
    """The objective of a training on pairs; every worker calls this before a state is loaded into the engine.

    `mark` is the fingerprint of the training, so that no reference of other pairs is taken.
    """
    without_dropout(engine.module)
    unknown = torch.zeros(len(encoding.rows), dtype=torch.float64)
    objective = Preferences(encoding.rows, pad, engine.module.start, unknown, settings.beta, settings.alpha)
    name = f"{job.checkpoint}/reference-{mark}.npy"
    if storage.exists(name):
        reference = torch.from_numpy(np.load(io.BytesIO(storage.read(name))))
    else:
        reference = likelihoods(engine, objective, encoding, job.settings.micro_tokens)
        if engine.global_rank == 0:
            file = io.BytesIO()
            np.save(file, reference.numpy())
            storage.write(name, file.getvalue())
    return Preferences(encoding.rows, pad, engine.module.start, reference, settings.beta, settings.alpha)


def likelihoods(engine: Any, objective: Preferences, encoding: Encoding, micro_tokens: int) -> torch.Tensor:
    """float64 [rows]: log-likelihood of every completion under the engine's weights; the workers share the rows."""
    share = plan(
        *encoding.sides,
        workers=engine.world_size,
        tokens_per_batch=engine.world_size * micro_tokens,
        micro_tokens=micro_tokens,
        epochs=1,
        seed=0,
    )
    found = torch.zeros(len(encoding.rows), dtype=torch.float64, device=engine.device)
    engine.eval()
    with torch.no_grad():
        for step in share.steps:
            # With ZeRO 3 the workers gather weights together, so all go through the same number of batches.
            for micro in step[engine.global_rank]:
                found[both(micro)] = objective.log_likelihoods(engine.module, micro, engine.device).double()
    if engine.world_size > 1:
        torch.distributed.all_reduce(found)
    engine.train()
    return found.cpu()


def without_dropout(student: torch.nn.Module) -> None:
    """Switch dropout off for good: a margin is the difference of two likelihoods, and noise in them would drown it."""
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # Attention has no layer for it, only a number.
        for name in ("dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
