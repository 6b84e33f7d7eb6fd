"""The two kinds of actor that the flow fans out over: samplers, which ask the teacher, and judges, which execute.

Both write every finished row to their own journal before they pass it on, and both look at the other actors'
journals before they begin a batch: a batch that Ray hands out again after an actor died is not paid for twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from pad_ray.flow.journal import JournalReader, JournalWriter, decode, writer_name
from pad_ray.flow.shard import Shard, ShardRows, judged, settled
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Problem, Sample, Verdict, form_of
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.storage import Storage, local_copy
from pad_ray.teacher.local import LocalTeacher
from pad_ray.teacher.protocol import Teacher
from pad_ray.teacher.recorded import RecordedTeacher
from pad_ray.teacher.student import StudentTeacher
from pad_ray.teacher.worked import WorkedTeacher
from pad_ray.thoughts import THOUGHTS

Row = dict[str, Any]
"""What samplers hand to judges: `shard` (int), `sample` (the record as JSON), `gold` (text)."""


class Sampler:
    """Asks the teacher for a slice of a shard's requests: those that have no sample yet."""

    def __init__(self, root: str, round_: int, recipe: Recipe, student: str, threads: int) -> None:
        self._root, self._round = root, round_
        self._journals = _Journals(Storage(root), round_, "samples", Sample)
        self._teacher = _teacher(root, round_, recipe, student, threads)
        self._work: ShardRows | None = None

    def __call__(self, item: dict[str, int]) -> list[Row]:
        work = self._open(int(item["shard"]))
        requests = work.requests[item["start"] : item["stop"]]
        known = work.samples | self._journals.finished(work.number)
        samples = {id_: known[id_] for id_ in (request.sample_id for request in requests) if settled(known.get(id_))}
        try:
            for sample in self._teacher.sample([request for request in requests if request.sample_id not in samples]):
                samples[sample.sample_id] = replace(sample, worker=self._journals.worker)
                self._journals.append(work.number, samples[sample.sample_id])
        finally:
            self._journals.flush()
        return work.to_judge([samples[request.sample_id] for request in requests])

    def _open(self, number: int) -> ShardRows:
        # One shard at a time, so that memory does not grow with the run.
        if self._work is None or self._work.number != number:
            self._work = ShardRows(Shard(self._root, self._round, number))
        return self._work


class Judge:
    """Executes and grades the rows that have a sample and no verdict yet."""

    def __init__(self, root: str, round_: int, recipe: Recipe) -> None:
        self._journals = _Journals(Storage(root), round_, "verdicts", Verdict)
        settings = recipe.sandbox
        # Entered for the actor's whole life; its processes end with the actor (parent-death signal).
        self._box = Sandbox(level=settings.level, timeout_s=settings.timeout_s, confirm=True).__enter__()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        samples = [decode(Sample, line) for line in batch["sample"]]
        verdicts: dict[str, Verdict] = {}
        for shard in {int(number) for number in batch["shard"]}:
            verdicts |= self._journals.finished(shard)
        todo = [
            (int(shard), sample, gold)
            for shard, sample, gold in zip(batch["shard"], samples, batch["gold"], strict=True)
            if not judged(verdicts.get(sample.sample_id), sample)
        ]
        for shard, verdict in self._judge(todo):
            self._journals.append(shard, verdict)
            verdicts[verdict.sample_id] = verdict
        self._journals.flush()
        layers = ", ".join(f"{name} {state}" for name, state in self._box.report["layers"].items())
        return {
            "outcome": [verdicts[sample.sample_id].outcome.value for sample in samples],
            "layers": [layers] * len(samples),
        }

    def _judge(self, rows: list[tuple[int, Sample, str]]) -> Iterator[tuple[int, Verdict]]:
        thoughts = [THOUGHTS[form_of(sample.sample_id)] for _, sample, _ in rows]
        parsed = [
            thought.parse(sample.text, sample.finish_reason)
            for thought, (_, sample, _) in zip(thoughts, rows, strict=True)
        ]
        runnable = [
            index for index, (_, sample, _) in enumerate(rows) if not sample.error and parsed[index].outcome is None
        ]
        executed: dict[int, Execution] = {}
        for thought in dict.fromkeys(thoughts):
            mine = [index for index in runnable if thoughts[index] is thought]
            entries = [rows[index][1].entry or "solution" for index in mine]
            run = partial(self._box.run, entry=entries)
            executed |= zip(mine, thought.conclude(run, [parsed[index].program for index in mine]), strict=True)
        for index, (shard, sample, gold) in enumerate(rows):
            execution, flaw = executed.get(index), parsed[index].outcome
            if sample.error:
                outcome, value, detail = Outcome.TEACHER_ERROR, "", sample.error
            elif flaw is not None:
                outcome, value, detail = flaw, "", ""
            else:
                outcome, value, detail = judge(executed[index], gold or None)  # only new problems have no answer yet
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
        self.worker = writer_name(noun)
        self._storage, self._round, self._noun, self._kind = storage, round_, noun, kind
        self._writer = JournalWriter(storage, round_, noun, self.worker)
        self._shard = -1
        self._rows: dict[str, Any] = {}

    def append(self, shard: int, row: Any) -> None:
        self._writer.append(shard, row)

    def flush(self) -> None:
        """Bring every row to where other machines see it, before a slice counts as done."""
        self._writer.flush()

    def finished(self, shard: int) -> dict[str, Any]:
        """Everything that any actor finished in a shard so far, by sample id; only the latest shard is kept."""
        if shard != self._shard:
            self._shard, self._rows = shard, {}
            self._reader = JournalReader(self._storage, self._round, self._noun, shard, self._kind)
        self._rows.update({row.sample_id: row for row in self._reader.new_rows()})
        return self._rows


def _teacher(root: str, round_: int, recipe: Recipe, student: str, threads: int) -> Teacher:
    if round_ == 0 and recipe.teacher.kind == "recorded":
        return RecordedTeacher(recipe.teacher.paths)
    if round_ == 0 and recipe.teacher.kind == "worked":
        return WorkedTeacher(Storage(root).scan_rows("problems/train", Problem), recipe.teacher)
    if round_ <= 0 and recipe.teacher.kind == "hf":
        return LocalTeacher(recipe.teacher.model, batch_size=recipe.decode.batch_size, threads=threads)
    return StudentTeacher(str(local_copy(student)), batch_size=recipe.decode.batch_size, threads=threads)
