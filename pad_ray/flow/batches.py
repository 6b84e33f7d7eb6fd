"""What a run remembers of the batches it made: one small file each, written before the batch is.

intended    the batch may exist: whoever resumes looks for its metadata at the provider
created     its id is known, and its worst case counts as spent
fetched     its rows are in the journals
dropped     it does not exist, or was refused as a whole; its requests go into another one
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Literal

from pad_ray.errors import TeacherError
from pad_ray.flow.journal import REWRITING, round_folder, shard_name
from pad_ray.storage import Storage
from pad_ray.teacher.batch import Gone

State = Literal["intended", "created", "fetched", "dropped"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a shard's requests, in one batch."""

    run_id: str
    shard: int
    number: int
    """From 0 within its shard; never used again."""
    limit: str
    """What the model calls the limit on a reply's tokens."""
    asked: dict[str, int]
    """Sample ids, and the attempts that each had behind it; empty once the part is fetched."""
    usd: float
    """The most it can cost, in dollars."""
    since: float
    """When it was intended, in seconds since 1970."""
    state: State = "intended"
    batch_id: str = ""

    @property
    def name(self) -> str:
        """Of its input file at the provider."""
        return f"{self.run_id}-{shard_name(self.shard)}-part-{self.number:04d}.jsonl"

    @property
    def metadata(self) -> dict[str, str]:
        """What its batch is recognised by."""
        return {"run_id": self.run_id, "shard": str(self.shard), "part": str(self.number)}

    @property
    def open(self) -> bool:
        """Whether it may still cost something."""
        return self.state in ("intended", "created")


class Memory:
    """The parts of a round, in the run's storage."""

    def __init__(self, storage: Storage, round_: int, run_id: str) -> None:
        # What a batch is recognised by must tell the rewriting of problems from the problems.
        self._storage, self._run_id = storage, f"{run_id}-augment" if round_ == REWRITING else run_id
        self._folder = f"{round_folder(round_)}/batches"
        found = (Part(**json.loads(storage.read(name))) for name in storage.names(self._folder, ".json"))
        self.open: dict[tuple[int, int], Part] = {}
        """Those that may still cost something, by shard and number."""
        self._numbers: dict[int, int] = {}
        for part in found:
            self._numbers[part.shard] = max(part.number + 1, self._numbers.get(part.shard, 0))
            if part.open:
                self.open[part.shard, part.number] = part

    @property
    def open_usd(self) -> float:
        """The most that they can cost together."""
        return sum(part.usd for part in self.open.values())

    def intend(self, shard: int, limit: str, asked: dict[str, int], usd: float, now: float) -> Part:
        """A new part of a shard, written before anything else is done for it."""
        number = self._numbers.get(shard, 0)
        self._numbers[shard] = number + 1
        return self._keep(Part(self._run_id, shard, number, limit, asked, usd, now))

    def created(self, part: Part, batch_id: str) -> Part:
        """Its batch is there."""
        return self._keep(replace(part, state="created", batch_id=batch_id))

    def close(self, part: Part, state: Literal["fetched", "dropped"]) -> None:
        """Nothing more will come of it."""
        self._keep(replace(part, state=state, asked={}))

    def file(self, part: Part) -> str:
        """Where a part is kept."""
        return f"{self._folder}/{shard_name(part.shard)}.part-{part.number:04d}.json"

    @contextmanager
    def mended(self, part: Part) -> Iterator[None]:
        """A batch that its provider does not know stops the run: only its user can say that it is gone for good."""
        try:
            yield
        except Gone as error:
            told = (
                f"If the batch is gone for good, write dropped for created into {self._storage.where(self.file(part))}"
            )
            mend = f"{error.hint} {told}: its requests are then asked again, and paid again if it was billed."
            raise TeacherError(error.message, hint=mend) from None

    def _keep(self, part: Part) -> Part:
        self._storage.write(self.file(part), json.dumps(asdict(part)).encode())
        if part.open:
            self.open[part.shard, part.number] = part
        else:
            self.open.pop((part.shard, part.number), None)
        return part
