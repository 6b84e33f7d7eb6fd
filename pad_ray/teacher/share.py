"""One actor's side of the governor: the block it was leased, taken from call by call, without clock or network.

Money is either spent, open (reserved by a call in flight) or idle. A report fixes all three and a grant only adds to
what is idle, so an actor can never hold more than the governor counts for it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from pad_ray.teacher.governor import Grant, Report, Stop
from pad_ray.teacher.money import Worst
from pad_ray.teacher.rate import LEASE_S, STEP


class Share:
    """What one actor may take. Times are seconds on its own clock."""

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.in_flight = 0
        self.stop: Stop | None = None
        self._spent = self._open = self._idle = 0.0
        self._requests = self._tokens = 0.0
        self._asked_at = self._paused_until = -math.inf
        self._tight = False
        self._used_tokens = 0
        self._started: list[Worst] = []
        self._unused: Counter[int] = Counter()
        self._forget_news()

    def pause_s(self, now: float) -> float:
        """Seconds until the cool-down ends."""
        return max(0.0, self._paused_until - now)

    def take(self, call: Worst, now: float) -> bool:
        """Start a call, if so much is leased."""
        if now < self._paused_until or (self._rated and now > self._asked_at + LEASE_S):
            return False
        if self._idle < call.usd or self._requests < 1 or self._tokens < call.tokens:
            return False
        self._idle -= call.usd
        self._open += call.usd
        self._requests -= 1
        self._tokens -= call.tokens
        self.in_flight += 1
        self._started.append(call)
        return True

    def settle(self, call: Worst, *, spent_usd: float, used_tokens: int, began: float) -> None:
        """End a call that began at `began`."""
        self.in_flight -= 1
        # Sums of fractions drift; nothing in flight is nothing open.
        self._open = self._open - call.usd if self.in_flight else 0.0
        self._spent += spent_usd
        # A call that cost more than its worst case has spent what was never leased; that cannot be undone.
        self._idle = max(0.0, self._idle + call.usd - spent_usd)
        self._used_tokens += used_tokens
        self._unused[int(began / STEP)] += max(0, call.tokens - used_tokens)

    def throttled(self, retry_after_s: float | None) -> None:
        """The teacher asked for a pause."""
        self._throttled = True
        if retry_after_s is not None:
            self._retry_after_s = max(retry_after_s, self._retry_after_s or 0.0)

    def succeeded(self) -> None:
        """A call was answered."""
        self._succeeded += 1

    def failed(self, sentence: str, *, fatal: bool) -> None:
        """A call failed; a fatal sentence is not replaced."""
        self._failed += 1
        if not self._fatal:
            self._sentence, self._fatal = sentence, fatal

    def report(self, now: float, waiting: Sequence[Worst]) -> Report:
        """What is to be said now; `waiting` are calls that could not start. What it does not keep is given back."""
        # As many calls as started since the last report will start until the next one.
        ahead = [*waiting, *self._started]
        need = sum(call.usd for call in ahead)
        if not math.isinf(self._idle):
            self._idle = 0.0 if waiting or self._tight else min(self._idle, need)
        report = Report(
            self.actor,
            spent_usd=self._spent,
            open_usd=self._open,
            idle_usd=self._idle,
            in_flight=self.in_flight,
            waiting=len(waiting),
            next_usd=waiting[0].usd if waiting else 0.0,
            next_tokens=waiting[0].tokens if waiting else 0,
            want_usd=0.0 if self._tight and not waiting else max(0.0, need - self._idle),
            want_requests=len(ahead),
            want_tokens=sum(call.tokens for call in ahead),
            unused=tuple(self._left_over(now)) if self._rated else (),
            tokens=self._used_tokens,
            succeeded=self._succeeded,
            failed=self._failed,
            throttled=self._throttled,
            retry_after_s=self._retry_after_s,
            sentence=self._sentence,
            fatal=self._fatal,
        )
        self._requests, self._tokens = _if_endless(self._requests), _if_endless(self._tokens)
        self._asked_at = now
        self._forget_news()
        return report

    def accept(self, grant: Grant, now: float) -> None:
        """Take over what was granted for the latest report."""
        self._idle += grant.usd
        self._requests, self._tokens = grant.requests, grant.tokens
        self._paused_until = now + grant.pause_s
        self._tight, self.stop = grant.tight, grant.stop

    @property
    def _rated(self) -> bool:
        """Whether the leases of calls and tokens have an end, in amount and in time."""
        return not math.isinf(self._requests) or not math.isinf(self._tokens)

    def _left_over(self, now: float) -> Iterator[tuple[float, float, float]]:
        if not math.isinf(self._tokens):
            yield from ((now - step * STEP, 0.0, float(tokens)) for step, tokens in self._unused.items() if tokens)
        requests, tokens = (0.0 if math.isinf(amount) else amount for amount in (self._requests, self._tokens))
        if requests or tokens:
            yield now - self._asked_at, requests, tokens

    def _forget_news(self) -> None:
        self._started = []
        self._unused.clear()
        self._throttled, self._retry_after_s = False, None
        self._succeeded = self._failed = 0
        self._sentence, self._fatal = "", False


def _if_endless(amount: float) -> float:
    return amount if math.isinf(amount) else 0.0
