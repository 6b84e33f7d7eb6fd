"""At most so many calls (or tokens) in any minute, over all actors, handed out evenly.

What was handed out is remembered for a little more than a minute and added up, so the limit holds in every window of
a minute and not only in the mean; a bucket that fills steadily keeps the first second from taking it all.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque

MINUTE = 60.0
LEASE_S = 1.0
"""What was handed out must be used within this time, else it is given back."""
STEP = 0.25
"""What was handed out within so many seconds is remembered as one."""
BURST_S = 1.0
"""Seconds of the limit that may be taken at once."""


class Rate:
    """One limit per minute. Times are seconds on one clock that only goes forward."""

    def __init__(self, per_minute: float) -> None:
        self._limit = per_minute
        self._steps: deque[int] = deque()
        self._taken: defaultdict[int, float] = defaultdict(float)
        self._room = max(1.0, per_minute * BURST_S / MINUTE)
        self._level, self._filled = self._room, 0.0

    def take(self, now: float, wanted: int, least: int) -> int:
        """As much of what is wanted as may start now; 0 if that is less than `least`, the next call."""
        self._forget(now)
        self._room = max(self._room, least)
        # What was given back may stand above the room: only filling ends there.
        filled = min(self._room, self._level + (now - self._filled) * self._limit / MINUTE)
        self._level, self._filled = max(self._level, filled), now
        given = math.floor(min(wanted, self._level, self._limit - sum(self._taken.values())))
        if given < least or given <= 0:
            return 0
        self._level -= given
        step = int(now / STEP)
        if not self._steps or self._steps[-1] != step:
            self._steps.append(step)
        self._taken[step] += given
        return given

    def give_back(self, now: float, amount: float, age_s: float) -> None:
        """What was handed out and not used by a call that began `age_s` ago (or never began)."""
        # It may have been handed out a lease earlier than it was used; what it takes from an earlier step is forgotten
        # earlier, so an error is on the safe side.
        step = int((now - age_s - LEASE_S) / STEP)
        if step in self._taken:
            self._taken[step] -= amount
        elif self._steps and step >= self._steps[0]:
            self._taken[step] = -amount
            self._steps.append(step)
            self._steps = deque(sorted(self._steps))
        self._level += amount

    def _forget(self, now: float) -> None:
        # Used up to LEASE_S after it was handed out, and remembered by the beginning of its step.
        while self._steps and now >= (self._steps[0] + 1) * STEP + MINUTE + LEASE_S:
            self._taken.pop(self._steps.popleft())
