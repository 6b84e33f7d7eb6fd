"""What DeepSpeed is told: it knows every key, and offloading takes what it needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError
from training_jobs import MakeJob

from pad_ray.errors import TrainError
from pad_ray.recipe import Recipe
from pad_ray.recipe_train import Train
from pad_ray.train.deepspeed_config import deepspeed_config


@pytest.mark.parametrize(
    ("stage", "offload", "devices"),
    [
        (0, "none", (None, None)),
        (1, "optimizer", ("cpu", None)),
        (2, "optimizer", ("cpu", None)),
        (3, "optimizer", ("cpu", None)),
        (3, "parameters", ("cpu", "cpu")),
    ],
)
def test_deepspeed_reads_the_presets_as_they_are_meant(
    process_group: None, stage: Any, offload: Any, devices: tuple[str | None, str | None]
) -> None:
    from deepspeed.runtime.config import DeepSpeedConfig

    told = DeepSpeedConfig(deepspeed_config(Train(zero_stage=stage, offload=offload), 2))
    zero = told.zero_config
    assert zero.stage == stage
    assert tuple(one and one.device for one in (zero.offload_optimizer, zero.offload_param)) == devices
    assert not told.zero_force_ds_cpu_optimizer, "its own CPU Adam would be compiled at first use"


def test_deepspeed_refuses_keys_it_does_not_know(process_group: None) -> None:
    from deepspeed.runtime.config import DeepSpeedConfig

    config = deepspeed_config(Train(zero_stage=2, offload="optimizer"), 2)
    config["zero_optimization"]["offload_optimizer"] = {"devise": "cpu"}
    with pytest.raises(ValidationError, match="devise"):
        DeepSpeedConfig(config)


@pytest.mark.parametrize(("stage", "offload"), [(0, "optimizer"), (2, "parameters")])
def test_what_is_not_scattered_cannot_be_offloaded(stage: Any, offload: Any) -> None:
    with pytest.raises(ValidationError, match=r"train\.offload: .* needs train\.zero_stage"):
        Train(zero_stage=stage, offload=offload)


def test_a_training_without_gpu_has_nothing_to_offload(make_job: MakeJob, ray_session: None) -> None:
    from pad_ray.train.launch import train

    with pytest.raises(TrainError, match=r"train\.offload = optimizer: .* uses no GPU"):
        train(make_job(settings={"zero_stage": 1, "offload": "optimizer"}))


def test_workers_may_be_a_range_that_ray_takes(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.train.torch
    from ray.train import Result

    from pad_ray.train.launch import run_training

    started: list[Any] = []

    class Trainer:
        def __init__(self, *_: Any, scaling_config: Any, run_config: Any, **__: Any) -> None:
            started.append((scaling_config, run_config))

        def fit(self) -> Result:
            return Result(metrics=None, checkpoint=None, error=None, path="")

    monkeypatch.setattr(ray.train.torch, "TorchTrainer", Trainer)
    recipe = Recipe.model_validate(
        {
            "name": "a",
            "problems": {"train": "a.jsonl"},
            "student": {"model": "somewhere"},
            "train": {"workers": [1, 4], "max_failures": 7},
        }
    )
    run_training(replace(make_job(), settings=recipe.train), gpu=False)
    scaling, config = started[0]
    assert (scaling.min_workers, scaling.max_workers, scaling.elasticity_enabled) == (1, 4, True)
    assert config.failure_config.max_failures == 7
    with pytest.raises(ValidationError, match=r"train.workers: \[4, 1\]: the first number \(fewest\) is larger"):
        Train(workers=(4, 1))
