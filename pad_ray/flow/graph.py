"""Sampling and judging as one stream on Ray Data: shards → rows still to do → samplers → judges → journals.

Only outcomes and counts reach the driver; rows stay in the journals until their shard is compacted.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import ray

from pad_ray.flow.actors import Judge, Sampler
from pad_ray.flow.journal import encode
from pad_ray.flow.shard import Shard, judged, settled
from pad_ray.recipe import Recipe
from pad_ray.records import Sample, Verdict

SAMPLE_BATCH = 64
JUDGE_BATCH = 256


def stream(
    shards: list[Shard],
    recipe: Recipe,
    *,
    student: str,
    todo: int,
    sample: bool,
    judge: bool,
    on_rows: Callable[[list[str]], None],
) -> None:
    """Sample and judge whatever the shards still lack.

    `student` is the folder that teacher `student` loads, `todo` the number of rows expected; `on_rows` gets the
    outcomes as they come (without judging: the word `sampled`).
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Start only when the pools are complete: the first actor would otherwise take a short run all by itself.
    context.wait_for_min_actors_s = 120
    first = shards[0]
    rows = ray.data.from_items([{"shard": s.number} for s in shards], override_num_blocks=len(shards))
    rows = rows.flat_map(
        partial(_unfinished, root=first.root, round_=first.round, sampling=sample, judging=judge), num_cpus=0.5
    )
    if sample:
        threads = _threads(recipe.teacher.workers)
        rows = rows.map_batches(
            Sampler,
            fn_constructor_args=(first.root, first.round, recipe, student, threads),
            batch_size=_batch_size(todo, recipe.teacher.workers, SAMPLE_BATCH),
            compute=ray.data.ActorPoolStrategy(size=recipe.teacher.workers),
            num_cpus=1,
        )
    if judge:
        rows = rows.map_batches(
            Judge,
            fn_constructor_args=(first.root, first.round, recipe),
            batch_size=_batch_size(todo, recipe.sandbox.workers, JUDGE_BATCH),
            compute=ray.data.ActorPoolStrategy(size=recipe.sandbox.workers),
            num_cpus=1,
        )
    for batch in rows.iter_batches(batch_size=None, prefetch_batches=0):
        on_rows([str(outcome) for outcome in batch["outcome"]] if judge else ["sampled"] * len(batch["shard"]))


def _unfinished(row: dict[str, Any], *, root: str, round_: int, sampling: bool, judging: bool) -> list[dict[str, Any]]:
    """The rows of one shard that still need a sampler or a judge."""
    shard = Shard(root, round_, int(row["shard"]))
    samples, verdicts, problems = shard.samples(), shard.verdicts(), shard.problems()
    rows: list[dict[str, Any]] = []
    for request in shard.requests():
        sample = samples.get(request.sample_id)
        todo = not settled(sample) if sampling else False
        if judging and not todo and sample is not None:
            todo = not judged(verdicts.get(request.sample_id), sample)
        if todo:
            rows.append(
                {
                    "shard": shard.number,
                    "request": encode(request),
                    "sample": encode(sample) if sample else "",
                    "gold": problems[request.problem_id].answer,
                }
            )
    return rows


@ray.remote(num_cpus=0.5)
def compact(shard: Shard) -> dict[str, Any]:
    """Turn a shard's journals into its parquet files; returns its counts."""
    problems, samples, verdicts = shard.problems(), shard.samples(), shard.verdicts()
    shard.compact("samples", Sample, samples)
    shard.compact("verdicts", Verdict, verdicts)
    by_source: dict[str, Counter[str]] = {}
    for request in shard.requests():
        counts = by_source.setdefault(problems[request.problem_id].source, Counter())
        counts["asked"] += 1
        if verdict := verdicts.get(request.sample_id):
            counts[verdict.outcome.value] += 1
    return {
        "planned": sum(counts["asked"] for counts in by_source.values()),
        "sampled": len(samples),
        "judged": len(verdicts),
        "transient": sum(not settled(sample) for sample in samples.values()),
        "by_source": {source: dict(counts) for source, counts in by_source.items()},
        "outcomes": dict(Counter(verdict.outcome.value for verdict in verdicts.values())),
        "levels": dict(Counter(verdict.sandbox for verdict in verdicts.values())),
        "spend": {
            "prompt_tokens": sum(sample.prompt_tokens for sample in samples.values()),
            "completion_tokens": sum(sample.completion_tokens for sample in samples.values()),
            "usd": sum(sample.cost_usd for sample in samples.values()),
            "unsettled": 0.0,
        },
        "workers": {
            "sample": sorted({sample.worker for sample in samples.values()}),
            "judge": sorted({verdict.worker for verdict in verdicts.values()}),
        },
    }


def _batch_size(todo: int, workers: int, most: int) -> int:
    """Small runs are handed out in small batches: Ray fills a batch before it looks for a second actor."""
    return max(1, min(most, todo // (4 * workers)))


def _threads(workers: int) -> int:
    """Each sampler's share of a node's cores."""
    # Logical CPUs of a local Ray may exceed the cores, so the machine is asked as well.
    logical = max((int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["Alive"]), default=1)
    return max(1, min(logical, os.cpu_count() or 1) // workers)
