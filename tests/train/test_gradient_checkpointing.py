"""Activations that are computed again save memory and change nothing that is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_jobs import MakeJob, sums

from pad_ray.errors import StudentError
from pad_ray.recipe_train import Train
from pad_ray.train.encode import encode
from pad_ray.train.launch import run_training
from pad_ray.train.loop import fingerprint, take_step
from pad_ray.train.progress import read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")


def calls_of_layers(model: Any) -> list[int]:
    """Counts how often each layer computes something."""
    counts = [0] * len(model.model.layers)
    for number, layer in enumerate(model.model.layers):

        def count(*_: object, number: int = number) -> None:
            counts[number] += 1

        layer.mlp.register_forward_pre_hook(count)
    return counts


@pytest.mark.parametrize("stage", [0, 3])
def test_loss_and_step_are_the_same_and_every_layer_computes_twice(shape: Path, tokenizer: Any, stage: int) -> None:
    from pad_ray.train.deepspeed_config import deepspeed_config
    from pad_ray.train.export import gather
    from pad_ray.train.model import load_model, recompute_activations, start_engine
    from pad_ray.train.objectives import Completions

    rows = encode(sums(8), tokenizer, 512).rows
    losses: list[float] = []
    trained: list[dict[str, torch.Tensor]] = []
    for recompute in (False, True):
        model = load_model(str(shape), "pretrained", 0, len(tokenizer))
        if recompute:
            recompute_activations(model, str(shape))
        settings = Train(zero_stage=stage)  # pyright: ignore[reportArgumentType]
        engine = start_engine(model, deepspeed_config(settings, 2), lr=1e-2, weight_decay=0.0, precision="fp32")
        engine.train()
        counts = calls_of_layers(model)
        measured, _ = take_step(engine, Completions(rows, 0, None), (((0, 1, 2, 3), (4, 5, 6, 7)),), due=False)
        assert counts == [4, 4] if recompute else [2, 2]
        losses.append(measured["loss"])
        trained.append(gather(engine.module.model, keep=True))
        engine.destroy()
    assert losses[0] == losses[1]
    for name, weight in trained[0].items():
        torch.testing.assert_close(trained[1][name], weight, rtol=1e-6, atol=1e-7, msg=name)


def test_gradients_are_the_same(shape: Path, tokenizer: Any) -> None:
    from pad_ray.train.model import CompletionScores, load_model, recompute_activations
    from pad_ray.train.objectives import Completions

    objective = Completions(encode(sums(6), tokenizer, 512).rows, 0, None)
    gradients: list[torch.Tensor] = []
    for recompute in (False, True):
        model = load_model(str(shape), "pretrained", 0, len(tokenizer)).train()
        if recompute:
            recompute_activations(model, str(shape))
        objective.sums(CompletionScores(model), tuple(range(6)), "cpu")[0].backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-7)
    assert gradients[0].abs().max() > 0


def test_it_may_be_switched_on_for_a_training_that_ran_out_of_memory(make_job: MakeJob) -> None:
    from pad_ray.train.encode import Encoding

    plain, saving = make_job("plain"), make_job("saving", settings={"gradient_checkpointing": True})
    assert fingerprint(plain, Encoding((), 0)) == fingerprint(saving, Encoding((), 0))
    for job in (plain, saving):
        result = run_training(job, gpu=False)
        assert not isinstance(result, Exception), result
    lines = [read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl") for job in (plain, saving)]
    assert [line.loss for line in lines[0]] == pytest.approx([line.loss for line in lines[1]], rel=1e-5)


def test_a_model_that_cannot_is_named_with_the_key(shape: Path, tokenizer: Any) -> None:
    from pad_ray.train.model import load_model, recompute_activations

    model = load_model(str(shape), "pretrained", 0, len(tokenizer))
    model.supports_gradient_checkpointing = False
    with pytest.raises(StudentError, match=r"train\.gradient_checkpointing.*has no support.*train\.micro_tokens"):
        recompute_activations(model, str(shape))
