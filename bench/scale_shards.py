"""The parts of `scale.py` that a run does shard by shard, on its workers."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scale_part import Part, size
from scale_rows import VOTES, problem, program, sample, verdict

from pad_ray.curate.select import candidates, capped
from pad_ray.flow.counting import counted, together
from pad_ray.flow.expanding import TeacherRequests
from pad_ray.flow.journal import JournalReader, JournalWriter, encode
from pad_ray.flow.plan import SHARD_SIZE
from pad_ray.flow.shard import Shard, ShardRows
from pad_ray.outcomes import Outcome
from pad_ray.recipe_file import load_recipe
from pad_ray.records import Request, Sample, Verdict
from pad_ray.storage import Storage


class Shards(Part):
    """A part with requests in shards, a thousand problems each."""

    def prepare(self) -> None:
        asking = TeacherRequests(load_recipe("cluster"))
        self.shards: list[Shard] = []
        for start in range(0, self.rows // VOTES, SHARD_SIZE):
            shard = Shard(str(self.folder), 0, len(self.shards))
            numbers = range(start, min(start + SHARD_SIZE, self.rows // VOTES))
            problems = [problem(number) for number in numbers]
            shard.write_problems(problems)
            asked = (one for row in problems for one in asking.requests(row, range(VOTES)))
            shard.storage.write_rows(shard.file("requests"), Request, asked)
            self.shards.append(shard)

    def finished(self, shard: Shard) -> Iterator[tuple[Sample, Verdict]]:
        """What becomes of its requests."""
        for place, request in enumerate(shard.requests()):
            number = shard.number * SHARD_SIZE + place // VOTES
            yield sample(request, number, request.k), verdict(request, number, request.k)

    def journal(self) -> None:
        """All of it into journals, by one writer of each noun and process."""
        samples, verdicts = (JournalWriter(Storage(self.folder), 0, noun, noun) for noun in ("samples", "verdicts"))
        for shard in self.shards:
            for one, other in self.finished(shard):
                samples.append(shard.number, one)
                verdicts.append(shard.number, other)
        samples.sync()
        verdicts.sync()


class Written(Shards):
    """A sample and its verdict appended to journals, by write(2) each."""

    def run(self) -> dict[str, Any]:
        self.journal()
        return {"bytes": size(self.folder / "round-0"), "descriptors": len(os.listdir("/proc/self/fd"))}


class Read(Shards):
    """Journals read back: what resuming costs."""

    def prepare(self) -> None:
        super().prepare()
        self.journal()

    def run(self) -> dict[str, Any]:
        found = 0
        for shard in self.shards:
            for noun, kind in (("samples", Sample), ("verdicts", Verdict)):
                found += sum(1 for _ in JournalReader(shard.storage, 0, noun, shard.number, kind).new_rows())
        return {"found": found}


class Compacted(Read):
    """Journals of samples and verdicts turned into parquet, and counted."""

    def run(self) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        for shard in self.shards:
            samples, verdicts = shard.samples(), shard.verdicts()
            unsettled = shard.compact_samples(samples)
            shard.compact("verdicts", Verdict, verdicts)
            parts.append(counted(shard, samples, verdicts, unsettled))
        together(parts)
        return {"bytes": size(self.folder / "round-0" / "samples") + size(self.folder / "round-0" / "verdicts")}


class Opened(Shards):
    """A shard as a sampler holds it; sizes are those of one shard."""

    sizes = (1_000, 5_000, 25_000)

    def prepare(self) -> None:
        asking = TeacherRequests(load_recipe("cluster"))
        shard = Shard(str(self.folder), 0, 0)
        problems = [problem(number) for number in range(self.rows // VOTES)]
        shard.write_problems(problems)
        asked = [one for row in problems for one in asking.requests(row, range(VOTES))]
        shard.storage.write_rows(shard.file("requests"), Request, asked)
        self.shards = [shard]

    def run(self) -> dict[str, Any]:
        self._held = ShardRows(self.shards[0])
        row = {"shard": 0, "sample": encode(sample(self._held.requests[0], 1, 1)), "gold": "1"}
        return {"bytes": size(self.folder), "passed_on": len(json.dumps(row))}


class Curated(Part):
    """Canonical, distinct, capped: what curation does of a shard beside executing."""

    sizes = (1_000, 5_000, 25_000)

    def prepare(self) -> None:
        self._judged = [
            (problem(row // VOTES), Verdict(str(row), program(row // VOTES, row % VOTES), Outcome.CORRECT), "solution")
            for row in range(self.rows)
        ]

    def run(self) -> dict[str, Any]:
        dropped = Counter[str]()
        return {"kept": len(capped(candidates(self._judged, {}, 4000, dropped), 4, dropped)), **dropped}


class Executed(Part):
    """Programs in the sandbox, a judge's batches, confirmed."""

    sizes = (1_000, 10_000)

    def run(self) -> dict[str, Any]:
        from pad_ray.flow.graph import JUDGE_BATCH
        from pad_ray.sandbox import Sandbox

        with Sandbox(timeout_s=2.0, confirm=True) as box:
            right = 0
            for start in range(0, self.rows, JUDGE_BATCH):
                numbers = range(start, min(start + JUDGE_BATCH, self.rows))
                done = box.run([program(number, number % VOTES) for number in numbers])
                right += sum(one.outcome is Outcome.OK for one in done)
        return {"right": right}
