"""Sampling and judging as one stream on Ray Data: shards → rows still to do → samplers → judges → journals.

Only outcomes and counts reach the driver; rows stay in the journals until their shard is compacted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray

from pad_ray.flow.actors import Judge, Sampler
from pad_ray.flow.asking import EndpointSampler, askers, resolved, slice_size
from pad_ray.flow.counting import counted
from pad_ray.flow.placement import Cluster, here
from pad_ray.flow.shard import Shard, ShardRows
from pad_ray.recipe import Recipe
from pad_ray.recipe_teacher import READ
from pad_ray.records import Verdict
from pad_ray.storage import resolve_uri

SLICE = 64
"""Requests that a sampler is handed at once."""
START_S, START_NODES_S = 120, 1800
"""Most seconds until the pools are complete: on nodes that are there, and on such as are only ordered then."""
MOST_SLICES = 4096
"""Slices of a whole plan, about: each is a block of its own for Ray Data."""
JUDGE_BATCH = 256
"""Programs that share a sandbox child at most."""


def stream(
    shards: list[Shard],
    recipe: Recipe,
    *,
    student: str,
    todo: int,
    starts: Mapping[int, int],
    sample: bool,
    judge: bool,
    on_rows: Callable[[list[str]], None],
    governor: Any = None,
) -> set[str]:
    """Sample and judge whatever the shards still lack. Returns what the judges' sandboxes consist of, layer by layer.

    `student` is the folder that teacher `student` loads, `todo` the number of rows expected. Shards in `starts` are
    only worked on from that request on. `on_rows` gets the outcomes as they come (without judging: the word
    `sampled`). With a `governor` (a GovernorActor) an endpoint is asked.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Start only when the pools are complete: the first actor would otherwise take a short run all by itself.
    cluster = here()
    context.wait_for_min_actors_s = START_NODES_S if cluster.grows else START_S
    root, round_ = shards[0].root, shards[0].round
    # Actors have other working folders than this process.
    paths = [path if "://" in path else str(Path(path).absolute()) for path in map(resolve_uri, recipe.teacher.paths)]
    model = recipe.teacher.model
    if recipe.teacher.kind == "hf" and Path(model).is_dir():
        model = str(Path(model).absolute())
    recipe = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"path": paths, "model": model})})
    # Small runs are cut finer, so that every actor finds work waiting when it starts.
    step = slice_size(recipe.teacher, todo) if governor else max(1, min(SLICE, todo // (4 * recipe.teacher.workers)))
    planned = {shard.number: shard.planned() for shard in shards}
    items = slices(planned, starts, step if sample else max(planned.values()))
    rows = ray.data.from_items(items, override_num_blocks=len(items))
    most = max(1, len(items))  # actors that find something to do
    if governor:
        rows = rows.flat_map(
            EndpointSampler,
            fn_constructor_args=(root, round_, resolved(recipe), governor, judge),
            **askers(recipe.teacher),
            **cluster.place("teacher"),
        )
    elif sample:
        heavy = round_ or recipe.teacher.kind not in READ
        gpus = _gpu_share(cluster, recipe.teacher.workers) if heavy else 0
        rows = rows.flat_map(
            Sampler,
            fn_constructor_args=(root, round_, recipe, student, _threads(recipe.teacher.workers)),
            compute=ray.data.ActorPoolStrategy(size=min(recipe.teacher.workers, most)),
            num_cpus=1,
            num_gpus=gpus,
            **cluster.place_model(gpus),
        )
    else:
        rows = rows.flat_map(partial(_sampled, root=root, round_=round_), num_cpus=0.5)
    if judge:
        rows = rows.map_batches(
            Judge,
            fn_constructor_args=(root, round_, recipe),
            # Samplers pass on slices of the right size; whole shards must be cut.
            batch_size=None if sample else JUDGE_BATCH,
            # Beside samplers that wait for a network one judge is enough to begin with.
            compute=ray.data.ActorPoolStrategy(
                min_size=1 if governor else min(recipe.sandbox.workers, most), max_size=recipe.sandbox.workers
            ),
            num_cpus=1,
            **cluster.place("sandbox"),
        )
    layers: set[str] = set()
    for batch in rows.iter_batches(batch_size=None, prefetch_batches=0):
        layers.update(map(str, batch["layers"]) if judge else ())
        on_rows([str(outcome) for outcome in batch["outcome"]] if judge else ["sampled"] * len(batch["shard"]))
    return layers


def slices(planned: Mapping[int, int], starts: Mapping[int, int], step: int) -> list[dict[str, int]]:
    """Requests by shard, cut into parts of about `step`: larger ones where little of a large plan is missing."""
    step = max(step, 1, sum(planned.values()) // MOST_SLICES)
    return [
        {"shard": shard, "start": start, "stop": min(start + step, rows)}
        for shard, rows in planned.items()
        for start in range(starts.get(shard, 0), rows, step)
    ]


def _sampled(item: dict[str, Any], *, root: str, round_: int) -> list[dict[str, Any]]:
    """The samples of a shard that wait for a verdict."""
    rows = ShardRows(Shard(root, round_, int(item["shard"])))
    return rows.to_judge(rows.samples.values())


@ray.remote(num_cpus=0.5)
def compact(shard: Shard) -> dict[str, Any]:
    """Turn a shard's journals into its parquet files; returns its counts."""
    samples, verdicts = shard.samples(), shard.verdicts()
    unsettled = shard.compact_samples(samples)
    if verdicts:
        shard.compact("verdicts", Verdict, verdicts)
    return counted(shard, samples, verdicts, unsettled)


def _gpu_share(cluster: Cluster, workers: int) -> float:
    """Of a GPU for each sampler with a model, so that all of them find room; 0 where there is none."""
    gpus = cluster.gpus()
    return 1 / -(-workers // gpus) if gpus else 0


def _threads(workers: int) -> int:
    """Each sampler's share of a node's cores."""
    # Logical CPUs of a local Ray may exceed the cores, so the machine is asked as well.
    logical = max((int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"]), default=1)
    return max(1, min(logical, os.cpu_count() or 1) // workers)
