"""What every teacher is to the flow: Requests in, Samples out, one per Request, in finishing order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from pad_ray.records import Request, Sample


class Teacher(Protocol):
    """Lives inside one sampling actor."""

    def sample(self, requests: Sequence[Request]) -> Iterator[Sample]:
        """Yield exactly one Sample per Request as soon as it is there.

        A failed call is a Sample with `error`, never an exception; only what makes every further call pointless
        raises TeacherError.
        """
        ...
