"""Back-pressure: how much is let in at once. What does not fit is turned away at once, not after it has waited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve.replies import Unavailable


class Admission:
    """Counts programs that were promised and are not yet delivered: of one Ingress, and in one event loop."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.inside = 0
        """Programs being written or executed."""

    @contextmanager
    def enter(self, programs: int) -> Iterator[None]:
        """Room for so many programs within the block. Raises Unavailable where there is none.

        A request is let in whole or not at all; an idle service lets in any, however small its capacity.
        """
        if self.inside and self.inside + programs > self._capacity:
            raise Unavailable("The service is full; send the request again in a moment.")
        self.inside += programs
        try:
            yield
        finally:
            self.inside -= programs
