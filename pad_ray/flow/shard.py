"""One shard of one round, as rows: what was asked, what is finished, what is still to do.

The shard is the unit of journal, resume and compaction; its rows are all that ever lies in one process' memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pad_ray.flow.journal import JournalReader, Reservation, decode, encode, journal_folder, round_folder, shard_name
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Request, Sample, Verdict
from pad_ray.storage import Storage

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Shard:
    """Names one shard of one round in a run folder."""

    root: str
    round: int
    number: int

    @property
    def storage(self) -> Storage:
        """The run folder."""
        return Storage(self.root)

    def file(self, noun: str) -> str:
        """The parquet file of a noun (`requests`, `samples`, `verdicts`, `examples`, `pairs`)."""
        return f"{round_folder(self.round)}/{noun}/{shard_name(self.number)}.parquet"

    @property
    def problems_file(self) -> str:
        """The parquet file of its problems, which all rounds share."""
        return f"problems/train/{shard_name(self.number)}.parquet"

    def problems(self) -> dict[str, Problem]:
        """The shard's training problems by id."""
        return {problem.problem_id: problem for problem in self.storage.read_rows(self.problems_file, Problem)}

    def write_problems(self, problems: Iterable[Problem]) -> None:
        """Write them."""
        self.storage.write_rows(self.problems_file, Problem, problems)

    def requests(self) -> list[Request]:
        """Everything that was planned."""
        return self.storage.read_rows(self.file("requests"), Request)

    def planned(self) -> int:
        """How many requests were planned."""
        return self.storage.count_rows(self.file("requests"))

    def samples(self) -> dict[str, Sample]:
        """The best sample of each request so far: a reply before a permanent error before a transient one."""
        found: dict[str, Sample] = {}
        take_better(found, self._rows("samples", Sample))
        return found

    def verdicts(self) -> dict[str, Verdict]:
        """The latest verdict of each sample so far; one on a reply before one on a failed call."""
        found: dict[str, Verdict] = {}
        for verdict in self._rows("verdicts", Verdict):
            best = found.get(verdict.sample_id)
            if best is None or not best.outcome.trustworthy or verdict.outcome.trustworthy:
                found[verdict.sample_id] = verdict
        return found

    def unsettled(self) -> dict[tuple[str, str], Reservation]:
        """Calls of processes that died before they knew what they cost, by worker and sample.

        Only true while no sampler is at work: a call in flight looks the same.
        """
        file = self._unsettled_file
        lines = self.storage.read(file).splitlines() if self.storage.exists(file) else []
        kept = (decode(Reservation, line) for line in lines)
        journals = JournalReader(self.storage, self.round, "samples", self.number, Sample)
        for _ in journals.new_rows():
            pass
        # By worker and sample, so that a compaction that was killed before it removed the journals adds nothing twice.
        return {**{(one.worker, one.reserved): one for one in kept}, **journals.unsettled}

    @property
    def _unsettled_file(self) -> str:
        return f"{round_folder(self.round)}/samples/unsettled/{shard_name(self.number)}.jsonl"

    def compact_samples(self, samples: Mapping[str, Sample]) -> list[Reservation]:
        """Compact the samples; returns the unsettled calls, which are kept beside them."""
        unsettled = list(self.unsettled().values())
        if unsettled:
            self.storage.write(self._unsettled_file, "".join(f"{encode(one)}\n" for one in unsettled).encode())
        self.compact("samples", Sample, samples)
        return unsettled

    def compact(self, noun: str, kind: type[Row], rows: Mapping[str, Row]) -> None:
        """Write the rows as the noun's parquet file, in the order of the plan, and remove the journals."""
        order: list[str] = self.storage.column(self.file("requests"), "sample_id")
        self.storage.write_rows(self.file(noun), kind, [rows[id_] for id_ in order if id_ in rows])
        self.storage.delete(journal_folder(self.round, noun, self.number))

    def _rows(self, noun: str, kind: type[Row]) -> list[Row]:
        compacted = self.storage.read_rows(self.file(noun), kind) if self.storage.exists(self.file(noun)) else []
        return [*compacted, *JournalReader(self.storage, self.round, noun, self.number, kind).new_rows()]


class ShardRows:
    """A shard read into memory by the process that works on it."""

    def __init__(self, shard: Shard) -> None:
        self.number = shard.number
        self.requests = shard.requests()
        self.samples = shard.samples()
        self._verdicts = shard.verdicts()
        problems = shard.problems()
        self._gold = {request.sample_id: problems[request.problem_id].answer for request in self.requests}

    def to_judge(self, samples: Iterable[Sample]) -> list[dict[str, Any]]:
        """Of these samples, the rows for the judges: those without a verdict that stands."""
        return [
            {"shard": self.number, "sample": encode(sample), "gold": self._gold[sample.sample_id]}
            for sample in samples
            if not judged(self._verdicts.get(sample.sample_id), sample)
        ]


def take_better(found: dict[str, Sample], samples: Iterable[Sample]) -> None:
    """Put samples among others of the same ids where they are better than those."""
    for sample in samples:
        best = found.get(sample.sample_id)
        # Of equal ones that with more attempts: it carries what the earlier ones cost.
        if best is None or (_rank(sample), sample.attempts) >= (_rank(best), best.attempts):
            found[sample.sample_id] = sample


def carrying(sample: Sample, earlier: Sample | None) -> Sample:
    """A sample with all that an earlier one of the same id cost, which it replaces."""
    if earlier is None:
        return sample
    return replace(
        sample,
        prompt_tokens=sample.prompt_tokens + earlier.prompt_tokens,
        completion_tokens=sample.completion_tokens + earlier.completion_tokens,
        cost_usd=sample.cost_usd + earlier.cost_usd,
        unsettled_usd=sample.unsettled_usd + earlier.unsettled_usd,
        attempts=sample.attempts + earlier.attempts,
    )


def settled(sample: Sample | None) -> bool:
    """Whether a request needs no further call: it has a reply, or an error that would only repeat itself."""
    return sample is not None and not (sample.error and sample.transient)


def judged(verdict: Verdict | None, sample: Sample) -> bool:
    """Whether a verdict stands: it is about this reply, not about an earlier failed call or a failed sandbox."""
    if verdict is None or verdict.outcome is Outcome.SANDBOX_ERROR:
        return False
    return (verdict.outcome is Outcome.TEACHER_ERROR) == bool(sample.error)


def _rank(sample: Sample) -> int:
    if not sample.error:
        return 2
    return 0 if sample.transient else 1
