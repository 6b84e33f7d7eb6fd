"""The two kinds of actor that the flow fans out over: samplers, which ask the teacher, and judges, which execute.

Both write every finished row to their own journal before they pass it on, and both look at the other actors'
journals before they begin a batch: a batch that Ray hands out again after an actor died is not paid for twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ray

from pad_ray.flow.journal import JournalReader, JournalWriter, decode, encode
from pad_ray.flow.shard import judged, settled
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Request, Sample, Verdict
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.storage import Storage
from pad_ray.teacher.protocol import Teacher
from pad_ray.teacher.recorded import RecordedTeacher
from pad_ray.teacher.student import StudentTeacher
from pad_ray.thoughts import THOUGHTS

Batch = dict[str, Any]
"""Columns `shard` (int), `request` and `sample` (records as JSON, empty for none), `gold` (text)."""


class Sampler:
    """Asks the teacher for the rows that have no sample yet."""

    def __init__(self, root: str, round_: int, recipe: Recipe, student: str, threads: int) -> None:
        self._journals = _Journals(Storage(root), round_, "samples", Sample)
        self._teacher = _teacher(round_, recipe, student, threads)

    def __call__(self, batch: Batch) -> Batch:
        requests = [decode(Request, line) for line in batch["request"]]
        known = [decode(Sample, line) for line in batch["sample"] if line]
        known += self._journals.finished(batch["shard"])
        samples = {sample.sample_id: sample for sample in known if settled(sample)}
        shard_of = {request.sample_id: int(n) for request, n in zip(requests, batch["shard"], strict=True)}
        for sample in self._teacher.sample([request for request in requests if request.sample_id not in samples]):
            sample = replace(sample, worker=self._journals.worker)
            self._journals.append(shard_of[sample.sample_id], sample)
            samples[sample.sample_id] = sample
        return {**batch, "sample": [encode(samples[request.sample_id]) for request in requests]}


class Judge:
    """Executes and grades the rows that have a sample and no verdict yet."""

    def __init__(self, root: str, round_: int, recipe: Recipe) -> None:
        self._journals = _Journals(Storage(root), round_, "verdicts", Verdict)
        self._thought = THOUGHTS[recipe.thought]
        settings = recipe.sandbox
        # Entered for the actor's whole life; its processes end with the actor (parent-death signal).
        self._box = Sandbox(level=settings.level, timeout_s=settings.timeout_s, confirm=True).__enter__()

    def __call__(self, batch: Batch) -> Batch:
        samples = [decode(Sample, line) for line in batch["sample"]]
        verdicts: dict[str, Verdict] = {v.sample_id: v for v in self._journals.finished(batch["shard"])}
        todo = [
            (int(shard), sample, gold)
            for shard, sample, gold in zip(batch["shard"], samples, batch["gold"], strict=True)
            if not judged(verdicts.get(sample.sample_id), sample)
        ]
        for shard, verdict in self._judge(todo):
            self._journals.append(shard, verdict)
            verdicts[verdict.sample_id] = verdict
        return {"outcome": [verdicts[sample.sample_id].outcome.value for sample in samples]}

    def _judge(self, rows: list[tuple[int, Sample, str]]) -> Iterator[tuple[int, Verdict]]:
        parsed = [self._thought.parse(sample.text, sample.finish_reason) for _, sample, _ in rows]
        runnable = [
            index for index, (_, sample, _) in enumerate(rows) if not sample.error and parsed[index].outcome is None
        ]
        executions = self._box.run(
            [parsed[index].program for index in runnable],
            entry=[rows[index][1].entry or "solution" for index in runnable],
        )
        executed: dict[int, Execution] = dict(zip(runnable, executions, strict=True))
        for index, (shard, sample, gold) in enumerate(rows):
            execution = executed.get(index)
            if sample.error:
                outcome, value, detail = Outcome.TEACHER_ERROR, "", sample.error
            elif execution is None:
                outcome, value, detail = parsed[index].outcome, "", ""
            else:
                outcome, value, detail = judge(execution, gold)
            yield (
                shard,
                Verdict(
                    sample_id=sample.sample_id,
                    program=parsed[index].program,
                    outcome=outcome,
                    value=value or "",
                    detail=detail,
                    seconds=round(execution.seconds, 6) if execution else 0.0,
                    sandbox=self._box.level,
                    worker=self._journals.worker,
                ),
            )


class _Journals:
    """This actor's journal, and what the other actors finished in the meantime."""

    def __init__(self, storage: Storage, round_: int, noun: str, kind: type[Any]) -> None:
        actor = ray.get_runtime_context().get_actor_id() or "driver"
        self.worker = f"{noun}-{actor[:12]}"
        self._storage, self._round, self._noun, self._kind = storage, round_, noun, kind
        self._writer = JournalWriter(storage, round_, noun, self.worker)
        self._readers: dict[int, JournalReader] = {}
        self._rows: dict[int, list[Any]] = {}

    def append(self, shard: int, row: Any) -> None:
        self._writer.append(shard, row)

    def finished(self, shards: Any) -> list[Any]:
        """Everything that any actor finished in these shards so far."""
        found: list[Any] = []
        for shard in {int(number) for number in shards}:
            if shard not in self._readers:
                self._readers[shard] = JournalReader(self._storage, self._round, self._noun, shard, self._kind)
            rows = self._rows.setdefault(shard, [])
            rows.extend(self._readers[shard].new_rows())
            found += rows
        return found


def _teacher(round_: int, recipe: Recipe, student: str, threads: int) -> Teacher:
    if round_ == 0 and recipe.teacher.kind == "recorded":
        return RecordedTeacher(recipe.teacher.paths)
    return StudentTeacher(student, batch_size=recipe.decode.batch_size, threads=threads)
