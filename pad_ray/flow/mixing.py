"""What a round trains on: its own examples with a replay of earlier ones, gathered and written by a worker.

It may be every example of the run, more than a small head has room for; the driver is only told how many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import ray

from pad_ray.curate.select import mix
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.placement import here
from pad_ray.recipe import Recipe
from pad_ray.records import Example
from pad_ray.run import Run
from pad_ray.storage import Storage


@dataclass(frozen=True, slots=True)
class Mixture:
    """The counts of a mixture."""

    examples: int = 0
    by_task: dict[str, int] = field(default_factory=dict[str, int])
    by_origin: dict[str, int] = field(default_factory=dict[str, int])


def write_mixture(run: Run, round_: int, name: str) -> Mixture:
    """Write the mixture of a curated round, unless a training has begun with it; nothing is written of an empty one."""
    task = ray.remote(num_cpus=1, **here().place("train"))(_write)
    with plain_errors():
        return ray.get(task.remote(str(run.storage), run.recipe, round_, name))


def mixture_of(storage: Storage, recipe: Recipe, round_: int) -> list[Example]:
    """What a round trains on: its own examples and, after round 0, a replay of earlier ones, or only earlier ones."""
    new = list(storage.scan_rows(f"round-{round_}/examples", Example))
    if round_ == 0:
        return new
    earlier = [
        example for before in range(round_) for example in storage.scan_rows(f"round-{before}/examples", Example)
    ]
    refine, seed = recipe.refine, seed_of(recipe, round_)
    if not refine.fresh:
        return mix(earlier, [], 0, seed, refine.repair_ratio)
    return mix(new, earlier, refine.replay, seed, refine.repair_ratio)


def seed_of(recipe: Recipe, round_: int) -> int:
    """What a round draws with."""
    return recipe.seed + round_ + (recipe.refine.seed if round_ else 0)


def _write(root: str, recipe: Recipe, round_: int, name: str) -> Mixture:
    storage = Storage(root)
    if storage.exists(name):
        return _counted(storage.read_rows(name, Example))
    mixture = mixture_of(storage, recipe, round_)
    if mixture:
        storage.write_rows(name, Example, mixture)
    return _counted(mixture)


def _counted(mixture: Sequence[Example]) -> Mixture:
    by_task, by_origin = (Counter(getattr(example, key) for example in mixture) for key in ("task", "origin"))
    return Mixture(len(mixture), dict(by_task), dict(by_origin))
