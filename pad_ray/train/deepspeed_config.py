"""DeepSpeed settings for the four ZeRO stages, and what its import needs on a machine without GPU or compiler."""

from __future__ import annotations

import os
from typing import Any

from pad_ray.recipe_train import Train

_ZERO: dict[int, dict[str, Any]] = {
    0: {"stage": 0},
    1: {"stage": 1},
    2: {"stage": 2, "contiguous_gradients": True},
    3: {"stage": 3, "overlap_comm": False},
}

_OFFLOAD: dict[str, dict[str, Any]] = {
    "none": {},
    "optimizer": {"offload_optimizer": {"device": "cpu"}},
    "parameters": {"offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}},
}


def deepspeed_config(settings: Train, accumulate: int) -> dict[str, Any]:
    """The engine's configuration for steps of at most `accumulate` micro-batches per worker.

    The plan decides what is in a micro-batch, and the loop sets the learning rate of every step.
    """
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulate,
        "gradient_clipping": settings.max_grad_norm,
        "zero_optimization": {**_ZERO[settings.zero_stage], **_OFFLOAD[settings.offload]},
        # torch's AdamW is fused on CPU and GPU; DeepSpeed's own CPU Adam would be compiled at first use.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": settings.precision == "bf16"},
        "steps_per_print": 10**9,
    }


def prepare_deepspeed(gpu: bool) -> None:
    """Make DeepSpeed importable and quiet in this process; call before its first import."""
    import logging

    if not gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed.ops import __compatible_ops__

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if not gpu:
        # DeepSpeed would build a shared-memory all-reduce with g++ when the first CPU engine starts. gloo does the same
        # work without a compiler.
        __compatible_ops__["deepspeed_shm_comm"] = False
