"""Back-pressure: how much is let in at once. What does not fit is turned away at once, not after it has waited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from serve.replies import Unavailable


class Admission:
    """Counts programs that were promised and are not yet delivered: of one Ingress, and in one event loop."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._open = True
        self.inside = 0
        """Programs being written or executed."""

    @contextmanager
    def enter(self, programs: int) -> Iterator[None]:
        """Room for so many programs within the block. Raises Unavailable where there is none.

        A request is let in whole or not at all; an idle service lets in any, however small its capacity.
        """
        if not self._open:
            raise Unavailable("The service is ending.", 5)
        if self.inside and self.inside + programs > self._capacity:
            raise Unavailable("The service is full; send the request again in a moment.")
        self.inside += programs
        try:
            yield
        finally:
            self.inside -= programs

    async def drain(self, seconds: float) -> None:
        """Let nobody in any more, and wait until all are served; so long at most."""
        self._open = False
        end = time.monotonic() + seconds
        while self.inside and time.monotonic() < end:
            await asyncio.sleep(0.05)
