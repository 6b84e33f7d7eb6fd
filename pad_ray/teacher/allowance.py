"""What a call to a paid teacher may take: money, tokens and time, asked for before the call and settled after it.

A teacher only knows this interface. Behind it is nothing at all (`Unlimited`), or a share of the limits that all
actors of a run keep together.
"""

from __future__ import annotations

from typing import Protocol

from pad_ray.errors import TeacherError


class Allowance(Protocol):
    """One actor's side of the limits. Everything but `reserve` returns at once."""

    async def reserve(self, usd: float, tokens: int) -> None:
        """Wait until one call of at most so many dollars and tokens may start.

        Waits for the rates and for a cool-down. Raises BudgetReached if nothing may start any more, and TeacherError
        with the sentence of whoever found that the teacher refuses everything.
        """
        ...

    def settle(self, usd: float, tokens: int, *, spent_usd: float, used_tokens: int) -> None:
        """Give a reservation back and book what the call really took.

        Called once for each `reserve` that returned, with the same `usd` and `tokens`. Where the billing is unknown
        (the connection was cut), what was spent is the worst case.
        """
        ...

    def throttled(self, retry_after_s: float | None) -> None:
        """The teacher asked to be called less (429, 503): one cool-down for everybody, as long as it says."""
        ...

    def succeeded(self) -> None:
        """A call was answered well."""
        ...

    def failed(self, sentence: str, *, fatal: bool) -> None:
        """A call failed; fatal: every further one will too, so all stop with this sentence."""
        ...


class Unlimited:
    """No limits: for free teachers and for tests. It still stops after a fatal failure."""

    def __init__(self) -> None:
        self._refused = ""

    async def reserve(self, usd: float, tokens: int) -> None:
        """Returns at once. Raises TeacherError after a fatal failure."""
        if self._refused:
            raise TeacherError(self._refused)

    def settle(self, usd: float, tokens: int, *, spent_usd: float, used_tokens: int) -> None:
        """Nothing was held back."""

    def throttled(self, retry_after_s: float | None) -> None:
        """Nobody else needs to know."""

    def succeeded(self) -> None:
        """Nothing is counted."""

    def failed(self, sentence: str, *, fatal: bool) -> None:
        """Remembers the sentence of a fatal failure."""
        if fatal and not self._refused:
            self._refused = sentence
