"""Whether the disk has room for a training: what its states and students will take, against what is free."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pad_ray.errors import TrainError
from pad_ray.recipe_train import Train
from pad_ray.train.checkpoint import KEEP


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a model is, in numbers."""

    parameters: int
    """Its weights, without those of adapters."""
    trained_parameters: int
    """Those that are trained, adapters included."""


def count(model: Any) -> Sizes:
    """The sizes of a model, before ZeRO 3 scatters it."""
    sizes = [(name, weight.numel(), weight.requires_grad) for name, weight in model.named_parameters()]
    return Sizes(
        sum(size for name, size, _ in sizes if "lora_" not in name), sum(size for _, size, trained in sizes if trained)
    )


def bytes_needed(sizes: Sizes, settings: Train, best: bool) -> dict[str, int]:
    """What a training has on the disk at its fullest, by what it is; `best`: whether the best student is kept.

    Only arrays are counted: per trained parameter the weight, AdamW's two moments in fp32, and the fp32 copy of the
    weight that ZeRO and half-precision weights come with.
    """
    weight = 2 if settings.precision == "bf16" else 4
    copied = settings.zero_stage in (1, 2) or settings.precision == "bf16"
    # With ZeRO 3 the shards of the copy are the only weights in a state.
    state = 12 if settings.zero_stage == 3 else weight + 8 + 4 * copied
    # The next state is written before the oldest goes; a worker group's twice, because Ray Train copies it.
    states = KEEP + 1 + (settings.most_workers > 1)
    students = 2 if best else 1
    return {
        f"{states} training states": states * state * sizes.trained_parameters,
        f"{students} exported {'students' if best else 'student'}": students * weight * sizes.parameters,
    }


def check_disk(folder: Path, device: Any, sizes: Sizes, settings: Train, best: bool) -> None:
    """Every worker calls this before the first step, with the folder of the training states.

    Raises TrainError, for all workers alike, where the disk of one has too little room.
    """
    import torch

    needed = bytes_needed(sizes, settings, best)
    # What an earlier call left there is replaced, not added to.
    kept = (file for name in ("state", "ray", "best") for file in (folder / name).rglob("*"))
    there = sum(file.stat().st_size for file in kept if file.is_file())
    missing = sum(needed.values()) - there - shutil.disk_usage(folder).free
    most = torch.tensor([missing], dtype=torch.int64, device=device)
    if torch.distributed.get_world_size() > 1:
        torch.distributed.all_reduce(most, op=torch.distributed.ReduceOp.MAX)
    if (short := int(most.item())) > 0:
        parts = " and ".join(f"{what} ({size(count)})" for what, count in needed.items())
        raise TrainError(
            f"there is too little room on the disk of {folder}: the training needs {size(sum(needed.values()))}, for"
            f" {parts}, and {size(sum(needed.values()) - short)} are free.",
            hint=f"Free {size(short)} there and run again, or choose another --run-dir.",
        )


def size(count: float) -> str:
    """Bytes in words: 2147483648 → `2.1 GB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"
