"""Sampling through a provider's batch API: cut what is missing, make batches, wait, and write what comes back.

A batch costs money from the moment it is made, so its intent is in the run folder before that and its id right after:
a run that was killed at any point finds its batches again and makes none twice. The worst case of a whole batch is
reserved; at the cap smaller ones are made, or none. Batches are never cancelled here: a run that is interrupted leaves
them at the provider, and the same command fetches them.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pad_ray.errors import TeacherError
from pad_ray.flow.asking import resolved
from pad_ray.flow.batches import Memory, Part
from pad_ray.flow.journal import JournalWriter, round_folder
from pad_ray.flow.progress import Reporter
from pad_ray.flow.shard import Shard, carrying, settled
from pad_ray.records import Request, Sample
from pad_ray.run import Run
from pad_ray.teacher.batch import Batch, BatchClient, Row, Unanswered, cut, line, rows
from pad_ray.teacher.bill import Bill
from pad_ray.teacher.failure import Failure, Fate
from pad_ray.teacher.governor import Stop
from pad_ray.teacher.money import dollars, price_of
from pad_ray.teacher.reply import LIMITS, Reply

FIRST_LOOK_S, LONGEST_LOOK_S, GROWTH = 2.0, 120.0, 1.5
"""Seconds between looks at the batches: growing, and small again when one has ended."""
CLOCKS_S = 3600.0
"""Most that the provider's clock may be behind ours when a batch is looked for by its metadata."""
LEAST = 10
"""Fewer requests than these, with more to do, are not worth a batch of their own at the cap."""
_FULL = "token_limit_exceeded"
"""Code of a batch that was refused because too much waits at the provider already."""

PATIENCE = (
    "a batch may take a day; Ctrl-C leaves it at the provider (cancel it there, if you must), and the same command"
    " fetches it"
)
"""What is said before the first one."""

Show = Callable[[int, str], None]
"""Told how many samples came, and how it stands."""


def ask_in_batches(run: Run, shards: list[Shard], todo: int, committed_usd: float, reporter: Reporter) -> Stop | None:
    """Get a sample for every request of these shards that has none; returns why it had to stop, if it had to.

    `todo` of them are expected, and `committed_usd` were spent so far, with what is unsettled. Raises TeacherError if
    the provider cannot be asked at all; batches that were made are fetched when the run is resumed.
    """
    teacher = resolved(run.recipe).teacher
    client = BatchClient(teacher.base_url, os.environ.get("OPENAI_API_KEY", ""), timeout_s=teacher.timeout_s)
    asking = BatchAsking(run, shards, client, committed_usd)
    if todo > 0:
        reporter.say(f"  {PATIENCE}")
    with reporter.bar(f"{round_folder(shards[0].round)}: batches", todo, "samples") as bar:
        asking.run(bar.advance)
    return asking.stop


class BatchAsking:
    """The batches of a round that the teacher is asked in, from the first request to the last sample."""

    def __init__(
        self, run: Run, shards: list[Shard], client: BatchClient, spent_usd: float, first_look_s: float = FIRST_LOOK_S
    ) -> None:
        """`spent_usd` is what earlier calls of the run spent, with what is unsettled."""
        self.stop: Stop | None = None
        """Why nothing more is asked, if that is so."""
        self._run, self._teacher, self._client = run, run.recipe.teacher, client
        self._price = price_of(self._teacher.price)
        self._shards = {shard.number: shard for shard in shards}
        self._waiting = deque(shards)
        self._todo = deque[tuple[int, list[Request]]]()
        self._memory = Memory(run.storage, shards[0].round, run.manifest.run_id)
        self._worker = f"samples-batch-{secrets.token_hex(4)}"
        self._journal = JournalWriter(run.storage, shards[0].round, "samples", self._worker)
        self._spent, self._first_look_s = spent_usd, first_look_s
        self._limits: dict[str, str] = {}
        self._seen: dict[tuple[int, int], Batch] = {}
        self._full = False
        self._silent_since: float | None = None

    def run(self, show: Show) -> None:
        """Make and fetch batches until every request has a sample, or nothing may start any more (see `stop`).

        Raises TeacherError if the provider cannot be asked; its batches are fetched when the run is resumed.
        """
        self._find_again()
        pause = self._first_look_s
        while True:
            self._make()
            if not self._memory.open:
                return
            show(0, self._describe(pause))
            time.sleep(pause)
            pause = min(LONGEST_LOOK_S, GROWTH * pause)
            self._find_again()
            for came in self._look():
                pause = self._first_look_s
                show(came, self._describe(pause))

    def _find_again(self) -> None:
        """Look for the batches of which it is not known whether they were made."""
        for part in [part for part in self._memory.open.values() if part.state == "intended"]:
            with self._patiently():
                batch_id = self._client.find(part.metadata, part.since - CLOCKS_S)
                if batch_id is not None:
                    self._memory.created(part, batch_id)
                    continue
                if part.shard not in {shard.number for shard in self._waiting}:
                    self._todo.append((part.shard, self._requests(part)))
                self._memory.close(part, "dropped")

    def _make(self) -> None:
        """Make as many batches as there is work and money for."""
        while self.stop is None and not self._full and (some := self._next()):
            shard, requests = some
            affordable = self._affordable(requests)
            if affordable < min(len(requests), LEAST):
                self._todo.appendleft((shard, requests))
                if not self._memory.open:
                    self.stop = self._at_the_cap(requests)
                return  # else what is open may turn out cheaper than reserved
            if requests[affordable:]:
                self._todo.appendleft((shard, requests[affordable:]))
            if not self._create(shard, requests[:affordable]):
                return

    def _next(self) -> tuple[int, list[Request]] | None:
        """Requests of one shard that fit into one file. Only one shard is in memory, whatever the size of the run."""
        while not self._todo and self._waiting:
            shard = self._waiting.popleft()
            known = shard.samples()
            asked = {id_ for part in self._memory.open.values() if part.shard == shard.number for id_ in part.asked}
            missing = (
                request
                for request in shard.requests()
                if request.sample_id not in asked and not settled(known.get(request.sample_id))
            )
            self._todo += [(shard.number, some) for some in cut(missing)]
        return self._todo.popleft() if self._todo else None

    def _affordable(self, requests: list[Request]) -> int:
        """How many of them, from the first, the budget covers at the worst."""
        if self._teacher.budget_usd is None:
            return len(requests)
        left = self._teacher.budget_usd - self._spent - self._memory.open_usd
        for count, request in enumerate(requests):
            left -= self._price.worst(request).usd
            if left < 0:
                return count
        return len(requests)

    def _create(self, shard: int, requests: list[Request]) -> bool:
        """Make one batch; returns whether it is known to be there."""
        self._run.save()  # raises if another process has taken the run over: it would make the same batch
        known = self._shards[shard].samples()
        attempts = {id_: known[id_].attempts for id_ in known.keys() & {request.sample_id for request in requests}}
        asked = {request.sample_id: attempts.get(request.sample_id, 0) for request in requests}
        limit = self._limits.get(requests[0].model, LIMITS[0])
        usd = sum(self._price.worst(request).usd for request in requests)
        part = self._memory.intend(shard, limit, asked, usd, time.time())
        data = b"".join(line(request, limit) for request in requests)
        try:
            with self._patiently():
                self._memory.created(part, self._client.create(part.name, data, part.metadata))
                return True
        except Unanswered:
            raise
        except TeacherError as error:
            # Refused for good, so it does not exist; those that do are fetched all the same.
            self._memory.close(part, "dropped")
            self.stop = Stop("teacher", error.message, error.hint)
        return False

    def _look(self) -> Iterator[int]:
        """Look at every batch and fetch those that have ended; yields for each of them how many samples came."""
        for key, part in [*self._memory.open.items()]:
            if part.state != "created":
                continue
            with self._patiently(), self._memory.mended(part):
                batch = self._seen[key] = self._client.look(part.batch_id)
                if not batch.ended:
                    continue
                if batch.status == "failed":
                    came = self._refused(part, batch)
                else:
                    came, self._full = self._take(part, batch), False
                self._seen.pop(key)
                yield came

    def _take(self, part: Part, batch: Batch) -> int:
        """Write the samples of a batch that ran; an interrupted call may have written some of them before."""
        found = {row.sample_id: row for row in rows(self._client.lines(batch))}
        nothing = Failure(f"batch {batch.batch_id} is {batch.status} and has no row for it", billed=False)
        known = self._shards[part.shard].samples()
        again: list[Request] = []
        came = 0
        for request in self._requests(part):
            earlier = known.get(request.sample_id)
            if earlier is not None and earlier.attempts > part.asked[request.sample_id]:
                continue
            row = found.get(request.sample_id, Row(request.sample_id, nothing))
            if row.other_limit and part.limit == LIMITS[0]:
                self._limits[request.model] = LIMITS[1]
                again.append(request)
                continue
            sample = self._sample(request, row.result, batch.seconds)
            self._journal.append(part.shard, carrying(replace(sample, worker=self._worker), earlier))
            self._spent += sample.cost_usd + sample.unsettled_usd
            came += 1
        self._journal.sync()
        self._journal.flush()
        self._memory.close(part, "fetched")
        if again:
            self._todo.append((part.shard, again))
        return came

    def _sample(self, request: Request, result: Reply | Failure, seconds: float) -> Sample:
        bill = Bill(request, self._price)
        bill.attempts = 1
        bill.book(result)
        if isinstance(result, Reply):
            return bill.failed(result.fault, transient=True) if result.fault else bill.answered(result, seconds)
        if result.fate is Fate.ALL and self.stop is None:
            told = f"{result.sentence} (teacher.model {request.model!r} at {self._client.url})"
            self.stop = Stop("teacher", f"the teacher refuses every request: {told}.", result.mend)
        return bill.failed(result.sentence, transient=result.fate is not Fate.ALONE)

    def _refused(self, part: Part, batch: Batch) -> int:
        """A batch that did not run at all, and so gave no samples."""
        requests = self._requests(part)
        self._memory.close(part, "dropped")
        if self._memory.open and any(code == _FULL for code, _ in batch.errors):
            self._full = True  # until another one has ended
            self._todo.append((part.shard, requests))
            return 0
        told = "; ".join(message or code for code, message in batch.errors[:3]) or "it does not say why"
        self.stop = Stop(
            "teacher",
            f"the provider refused batch {batch.batch_id} of {len(requests):,} requests: {told}.",
            "Nothing of it was billed. Check teacher.model and the account's limits; the same command resumes.",
        )
        return 0

    def _requests(self, part: Part) -> list[Request]:
        return [request for request in self._shards[part.shard].requests() if request.sample_id in part.asked]

    def _at_the_cap(self, requests: list[Request]) -> Stop:
        some = requests[:LEAST]
        usd = sum(self._price.worst(request).usd for request in some)
        return Stop(
            "budget",
            f"teacher.budget_usd: {dollars(self._spent)} of {dollars(self._teacher.budget_usd or 0.0)} are spent or"
            f" unsettled, and a batch of the next {len(some):,} requests may cost {dollars(usd)}.",
            "Everything paid for is kept: give a higher teacher.budget_usd and the same command goes on.",
        )

    def _describe(self, pause: float) -> str:
        done, total = (sum(getattr(batch, key) for batch in self._seen.values()) for key in ("done", "total"))
        several = len(self._memory.open)
        said = f"{several:,} {'batch' if several == 1 else 'batches'} at the provider"
        if total:
            said += f" ({done:,}/{total:,} requests done there)"
        said += f", {dollars(self._spent)} spent"
        return f"{said}, next look in {pause:.0f} s"

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        """What the provider does not answer is tried again at the next look, until it was silent for too long."""
        try:
            yield
            self._silent_since = None
        except Unanswered as error:
            self._silent_since = self._silent_since or time.monotonic()
            if time.monotonic() - self._silent_since > self._teacher.deadline_s:
                raise Unanswered(
                    f"the provider gave no answer for {self._teacher.deadline_s:g} s (teacher.deadline_s); the latest:"
                    f" {error.message}",
                    hint="Its batches go on there, and the same command fetches them.",
                ) from None
