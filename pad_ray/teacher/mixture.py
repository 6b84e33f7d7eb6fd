"""Several endpoints as one teacher: every request goes to the one that has its model, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Protocol

from pad_ray.errors import PadRayError, TeacherError
from pad_ray.records import Request, Sample
from pad_ray.teacher.bill import Reserved


class Endpoint(Protocol):
    """One of them; see EndpointTeacher."""

    def sample(self, requests: Iterable[Request], reserved: Reserved | None = None) -> AsyncGenerator[Sample]:
        """Yield exactly one Sample per Request that was asked."""
        ...


class Mixture:
    """Teachers by the models that they have."""

    def __init__(self, teachers: Mapping[str, Endpoint]) -> None:
        self._teachers = dict(teachers)

    async def sample(
        self, requests: Iterable[Request], reserved: Reserved | None = None
    ) -> AsyncGenerator[Sample, None]:
        """As every teacher does: one Sample per Request, in finishing order.

        When one of them stops, what the others have in flight is yielded too before the reason is raised.
        """
        parts: dict[Endpoint, list[Request]] = {}
        for request in requests:
            parts.setdefault(self._teachers[request.model], []).append(request)
        finished = asyncio.Queue[Sample | None]()

        async def ask(teacher: Endpoint, part: list[Request]) -> None:
            try:
                async for sample in teacher.sample(part, reserved):
                    finished.put_nowait(sample)
            finally:
                finished.put_nowait(None)

        tasks = [asyncio.create_task(ask(teacher, part)) for teacher, part in parts.items()]
        open_ = len(tasks)
        try:
            while open_:
                sample = await finished.get()
                if sample is None:
                    open_ -= 1
                else:
                    yield sample
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        if errors := [one for one in ended if isinstance(one, Exception)]:
            raise max(errors, key=_weight)


def _weight(error: Exception) -> int:
    """A bug weighs more than what the run knows about; of that a teacher that refuses everything more than the cap."""
    return (not isinstance(error, PadRayError)) * 2 + isinstance(error, TeacherError)
