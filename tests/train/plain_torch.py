"""The training step against plain PyTorch, for every kind of student."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pad_ray.recipe_train import Train
from pad_ray.train.deepspeed_config import deepspeed_config
from pad_ray.train.encode import Encoded
from pad_ray.train.loop import take_step


def assert_steps_of_plain_torch(
    model: Any, encoded: tuple[Encoded, ...], stage: int, alone: Callable[[Any, Encoded], Any]
) -> None:
    """Three steps of a ZeRO stage are those of torch on the rows one by one; `alone` is the loss of a row, summed."""
    from pad_ray.train.export import gather
    from pad_ray.train.model import start_engine
    from pad_ray.train.objectives import Completions

    plain = copy.deepcopy(model)
    settings = Train(zero_stage=stage, max_grad_norm=0.5)  # pyright: ignore[reportArgumentType]
    config = deepspeed_config(settings, accumulate=3)
    engine = start_engine(model, config, lr=1e-3, weight_decay=0.1, precision="fp32")
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.1)
    objective = Completions(encoded, 0, engine.module.start)
    # Cut in three, in two, and in two with an empty one: fewer micro-batches than the configured most.
    for micros in (((0, 1), (2,), (3, 4)), ((5, 6, 7), (0,)), ((1, 2), ())):
        measured, _ = take_step(engine, objective, (micros,), due=False)
        rows = [encoded[i] for micro in micros for i in micro]
        mean = sum(alone(plain, row) for row in rows) / sum(row.completion for row in rows)
        assert measured["loss"] == pytest.approx(mean.item(), rel=1e-4)
        mean.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    trained = gather(engine.module.model, keep=True)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(trained[name], parameter.detach(), rtol=1e-3, atol=1e-5, msg=name)
    engine.destroy()
