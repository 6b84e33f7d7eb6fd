"""Sampling with kind vllm: what is missing goes through ray.data.llm's stages and from there into the journals.

Judging comes after it and not beside it, as engines start slowly and hold all their GPUs until they end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray

from pad_ray.flow.graph import SLICE, slices
from pad_ray.flow.journal import JournalWriter, decode, encode, round_folder, writer_name
from pad_ray.flow.progress import Reporter
from pad_ray.flow.shard import Shard, carrying, settled
from pad_ray.recipe_teacher import Teacher
from pad_ray.records import Request
from pad_ray.storage import Storage
from pad_ray.teacher.vllm import BATCH, ERROR, processor_config, to_row, to_sample

ENGINE_START_S = 3600
"""Most seconds until an engine answers: its environment is installed and its weights are fetched before."""


def ask_engines(shards: list[Shard], teacher: Teacher, todo: int, reporter: Reporter) -> None:
    """Get a sample for every request of these shards that has none; Ray must be connected."""
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    ray.data.DataContext.get_current().wait_for_min_actors_s = ENGINE_START_S
    root, round_ = shards[0].root, shards[0].round
    if Path(teacher.model).is_dir():
        teacher = teacher.model_copy(update={"model": str(Path(teacher.model).absolute())})
    config = vLLMEngineProcessorConfig(**processor_config(teacher))
    engines = build_processor(config, preprocess=going_in, postprocess=coming_out)
    items = slices({shard.number: shard.planned() for shard in shards}, {}, SLICE)
    missing = ray.data.from_items(items).flat_map(partial(_missing, root=root, round_=round_), num_cpus=0.5)
    kept = engines(missing).map_batches(
        Keeper,
        fn_constructor_args=(root, round_),
        batch_size=BATCH,
        batch_format="pandas",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0.5,
    )
    with reporter.bar(f"{round_folder(round_)}: vllm", todo, "samples") as bar:
        for batch in kept.iter_batches(batch_size=None, prefetch_batches=0):
            bar.advance(len(batch["sample_id"]))


def going_in(row: dict[str, Any]) -> dict[str, Any]:
    """What is asked; columns that no stage replaces come back with it."""
    return {**row, **to_row(decode(Request, row["request"]))}


def coming_out(row: dict[str, Any]) -> dict[str, Any]:
    """Of what comes back, what becomes a sample; rows that failed do not come through here."""
    kept = ("shard", "request", "generated_text", "num_input_tokens", "num_generated_tokens", "time_taken_llm")
    return {**{key: row[key] for key in kept}, ERROR: ""}


class Keeper:
    """Writes what comes back into its journal, before anything else happens with it."""

    def __init__(self, root: str, round_: int) -> None:
        self._root, self._round = root, round_
        self._worker = writer_name("samples")
        self._journal = JournalWriter(Storage(root), round_, "samples", self._worker)

    def __call__(self, batch: Any) -> dict[str, list[str]]:
        by_shard = defaultdict[int, list[dict[str, Any]]](list)
        for row in batch.to_dict("records"):
            by_shard[int(row["shard"])].append(row)
        ids = [id_ for number, rows in by_shard.items() for id_ in self._keep(number, rows)]
        self._journal.flush()
        return {"sample_id": ids}

    def _keep(self, number: int, rows: list[dict[str, Any]]) -> Iterator[str]:
        earlier = Shard(self._root, self._round, number).samples()
        for row in rows:
            sample = replace(to_sample(decode(Request, row["request"]), row), worker=self._worker)
            self._journal.append(number, carrying(sample, earlier.get(sample.sample_id)))
            yield sample.sample_id


def _missing(item: dict[str, Any], *, root: str, round_: int) -> Iterator[dict[str, Any]]:
    """The requests of a slice that have no sample yet."""
    shard = Shard(root, round_, int(item["shard"]))
    known = shard.samples()
    for request in shard.requests()[int(item["start"]) : int(item["stop"])]:
        if not settled(known.get(request.sample_id)):
            yield {"shard": shard.number, "request": encode(request)}
