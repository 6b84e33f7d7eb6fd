"""Samplers that call an endpoint: several slices of requests at once, so that the calls in flight never sag.

Each is an actor with one event loop. A row is in its journal before anything else happens with it; a reservation is
there before a call starts. Where nothing may start any more (the cap, a teacher that refuses) a sampler ends its slices
early and well, and the driver says why.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from pad_ray.errors import BudgetReached, TeacherError
from pad_ray.flow.governing import LeasedAllowance
from pad_ray.flow.journal import JournalReader, JournalWriter, Reservation, writer_name
from pad_ray.flow.shard import Shard, ShardRows, carrying, settled, take_better
from pad_ray.recipe import Recipe
from pad_ray.recipe_teacher import Asked, Teacher
from pad_ray.records import Request, Sample
from pad_ray.storage import Storage
from pad_ray.teacher.mixture import Mixture
from pad_ray.teacher.money import price_of
from pad_ray.teacher.pace import Pace

if TYPE_CHECKING:
    from pad_ray.teacher.endpoint import EndpointTeacher

SLICES = 4
"""Slices that one sampler works on at once: while one waits for its last calls, the others fill the gap."""
OPEN_SHARDS = 2
"""Shards in a sampler's memory; slices come shard by shard."""
DEFAULT_URL = "https://api.openai.com/v1"


class EndpointSampler:
    """Asks for the requests of a slice that have no sample yet."""

    def __init__(self, root: str, round_: int, recipe: Recipe, governor: Any, to_judge: bool) -> None:
        """`governor` is the run's GovernorActor; without `to_judge` only counts are passed on, no rows."""
        self._root, self._round, self._recipe, self._governor, self._to_judge = root, round_, recipe, governor, to_judge
        self._worker = writer_name("samples")
        self._journal = JournalWriter(Storage(root), round_, "samples", self._worker)
        self._shards: OrderedDict[int, _OpenShard] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        self._teacher: EndpointTeacher | Mixture | None = None
        self._stopped = False

    async def __call__(self, item: dict[str, int]) -> list[dict[str, Any]]:
        """The rows of a slice for the judges."""
        if self._stopped:
            return []
        shard, requests, known, teacher = await self._begin(item)
        samples = {id_: row for id_, row in known.items() if settled(row)}
        todo = [request for request in requests if request.sample_id not in samples]
        try:
            # Closed at once where this slice ends early, so that its calls end with it.
            async with aclosing(teacher.sample(todo, lambda *call: self._reserve(shard.number, *call))) as replies:
                async for sample in replies:
                    row = carrying(replace(sample, worker=self._worker), known.get(sample.sample_id))
                    self._journal.append(shard.number, row)
                    samples[row.sample_id] = row
        except (BudgetReached, TeacherError):
            self._stopped = True
            await self._allowance.tell()  # before this actor can end
        finally:
            await asyncio.to_thread(self._journal.flush)
        if not self._to_judge:
            return [{"shard": shard.number} for request in todo if request.sample_id in samples]
        return shard.rows.to_judge([samples[one.sample_id] for one in requests if one.sample_id in samples])

    def _reserve(self, shard: int, request: Request, usd: float, tokens: int) -> None:
        self._journal.append(shard, Reservation(request.sample_id, usd, tokens, self._worker))

    async def _begin(
        self, item: dict[str, int]
    ) -> tuple[_OpenShard, list[Request], dict[str, Sample], EndpointTeacher | Mixture]:
        """The shard of a slice, its requests, their samples so far, and the teacher."""
        number = int(item["shard"])
        async with self._one_at_a_time:
            if self._teacher is None:
                self._teacher = await self._connect()
            if number not in self._shards:
                shard = Shard(self._root, self._round, number)
                self._shards[number] = await asyncio.to_thread(_OpenShard, shard, self._worker)
            self._shards.move_to_end(number)
            while len(self._shards) > OPEN_SHARDS:
                self._shards.popitem(last=False)
            found = self._shards[number]
            requests = found.rows.requests[item["start"] : item["stop"]]
            return found, requests, await asyncio.to_thread(found.known, requests), self._teacher

    async def _connect(self) -> EndpointTeacher | Mixture:
        # Its client is slow to import, and only this actor needs it.
        from pad_ray.teacher.cache import Cache
        from pad_ray.teacher.endpoint import EndpointTeacher

        recipe, teacher = self._recipe, self._recipe.teacher
        pace = Pace(teacher.concurrency)
        self._allowance = LeasedAllowance(self._worker, self._governor.exchange.remote, pace.cap)
        key = await self._governor.key.remote()
        cache = Cache(Storage(teacher.cache, recipe.storage.s3_endpoint)) if teacher.cache else None
        endpoints = {
            url: EndpointTeacher(
                url,
                key,
                prices={one.model: price_of(one.price) for one in members},
                allowance=self._allowance,
                pace=pace,
                timeout_s=teacher.timeout_s,
                deadline_s=teacher.deadline_s,
                cache=cache,
            )
            for url, members in _by_url(teacher).items()
        }
        if len(endpoints) == 1:
            return next(iter(endpoints.values()))
        return Mixture({one.model: endpoints[one.base_url] for one in teacher.members})


class _OpenShard:
    """A shard's rows, and what samplers finished of it in the meantime."""

    def __init__(self, shard: Shard, worker: str) -> None:
        self.number, self.rows = shard.number, ShardRows(shard)
        self._shard, self._worker = shard, worker
        self._asked: set[str] = set()
        self._reader = self._from_the_start()

    def known(self, requests: Sequence[Request]) -> dict[str, Sample]:
        """The samples of these requests that any sampler finished so far."""
        ids = {request.sample_id for request in requests}
        if ids & self._asked:
            # Handed out again, for the result was lost: these rows are in this sampler's own journal.
            self._reader = self._from_the_start()
            take_better(self.rows.samples, self._reader.new_rows())
        self._asked |= ids
        take_better(self.rows.samples, self._reader.new_rows(but=self._worker))
        return {id_: self.rows.samples[id_] for id_ in ids & self.rows.samples.keys()}

    def _from_the_start(self) -> JournalReader:
        return JournalReader(self._shard.storage, self._shard.round, "samples", self.number, Sample)


def _by_url(teacher: Teacher) -> dict[str, list[Asked]]:
    found: dict[str, list[Asked]] = {}
    for member in teacher.members:
        found.setdefault(member.base_url, []).append(member)
    return found


def resolved(recipe: Recipe) -> Recipe:
    """The recipe as actors on other machines need it: nothing in it depends on this process."""
    teacher = recipe.teacher
    url = teacher.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    cache = teacher.cache if "://" in teacher.cache or not teacher.cache else str(Path(teacher.cache).absolute())
    return recipe.model_copy(update={"teacher": teacher.model_copy(update={"base_url": url, "cache": cache})})


def slice_size(teacher: Teacher, todo: int) -> int:
    """Requests of one slice: all slices together hold a few times the calls in flight, small runs are cut finer."""
    share = max(1, teacher.concurrency // teacher.workers)
    return max(1, min(max(16, share), 256, todo // (SLICES * teacher.workers)))


def askers(teacher: Teacher) -> dict[str, Any]:
    """The pool of samplers: it grows while slices wait. They wait for the network and hardly take a CPU."""
    # Twice as many slices are sent to an actor as it works on: only a queue makes the pool grow.
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=teacher.workers, max_concurrent_calls_per_actor=SLICES)
    return {"compute": pool, "num_cpus": 0.1}
