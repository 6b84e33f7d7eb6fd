"""The limits of a run, kept by one place for all its actors: money, rates, one cool-down, one breaker, calls in flight.

A state machine without clock or network of its own. Actors exchange a Report for a Grant some times a second; a grant
is a lease on a block of money and rate, never a single call. Whatever happens to an actor, what it was leased stays
counted, so spent and open money together never exceed the cap:

    committed (earlier calls) + the sum over actors of (spent + reserved by calls in flight + leased and idle) <= cap
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pad_ray.errors import BudgetReached, PadRayError, TeacherError
from pad_ray.teacher.rate import Rate

DEAD_S = 10.0
"""An actor that was silent for so long gets no share of the calls in flight; its lease stays counted."""
BLOCK_SHARE = 0.25
"""An actor is leased at most this part of its fair share of what is left, so blocks shrink towards the cap."""
COOL_DOWN_S, LONGEST_COOL_DOWN_S = 0.5, 60.0
"""Pause after a refusal that names no time; doubles as long as no call gets through."""
FAILURES_PER_CALL, FAILING_S, SILENT_S = 4, 60.0, 600.0
"""The breaker opens after so many failures per call in flight without a success, in at least so many seconds; a teacher
that asks for patience gets the longer time."""


class Limits(NamedTuple):
    """What a run may take; None is no limit."""

    concurrency: int
    cap_usd: float | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What an actor says. Money and counts are in all since it started, the rest since its last report."""

    actor: str
    spent_usd: float = 0.0
    """Billed, or not known and taken as the worst case."""
    open_usd: float = 0.0
    """Reserved by calls in flight."""
    idle_usd: float = 0.0
    """Leased and free; what it does not tell here is given back."""
    in_flight: int = 0
    waiting: int = 0
    """Calls that wait for a lease."""
    next_usd: float = 0.0
    """What the first of them needs."""
    next_tokens: int = 0
    want_usd: float = 0.0
    """What all of them need, and those that will start before the next exchange."""
    want_requests: int = 0
    want_tokens: int = 0
    unused: tuple[tuple[float, float, float], ...] = ()
    """(age in seconds, requests, tokens) that were leased or reserved and not used."""
    tokens: int = 0
    """Of all settled calls."""
    succeeded: int = 0
    """Calls answered since its last report, as `failed` are those that were not."""
    failed: int = 0
    throttled: bool = False
    retry_after_s: float | None = None
    """The longest that the teacher asked for."""
    sentence: str = ""
    """What the latest failure was."""
    fatal: bool = False
    """It will be the same for every call."""


class Stop(NamedTuple):
    """Why nothing may start any more."""

    kind: Literal["budget", "teacher"]
    sentence: str
    hint: str = ""

    def error(self) -> PadRayError:
        """The error that ends the stage."""
        return (BudgetReached if self.kind == "budget" else TeacherError)(self.sentence, hint=self.hint)


@dataclass(frozen=True, slots=True)
class Grant:
    """What an actor may take until its next exchange; inf where there is no limit."""

    usd: float
    requests: float
    tokens: float
    pause_s: float
    """Seconds in which nothing starts: the cool-down."""
    concurrency: int
    """Its share of the calls in flight."""
    tight: bool
    """Others wait for money: give back what is idle."""
    stop: Stop | None = None


class Spend(NamedTuple):
    """What this call of the run took so far."""

    usd: float = 0.0
    leased_usd: float = 0.0
    """Not spent but leased: worst cases of calls in flight, and all that dead actors had."""
    tokens: int = 0
    answered: int = 0
    """Calls that gave a reply."""


@dataclass(slots=True)
class _Seat:
    """An actor, as the governor knows it."""

    report: Report
    idle_usd: float = 0.0
    seen: float = 0.0
    denied: bool = False

    @property
    def held_usd(self) -> float:
        return self.report.spent_usd + self.report.open_usd + self.idle_usd


@dataclass(slots=True)
class Governor:
    """See the module."""

    limits: Limits
    clock: Callable[[], float]
    committed_usd: float = 0.0
    """Spent and unsettled before this call of the run."""
    stop: Stop | None = None
    _seats: dict[str, _Seat] = field(default_factory=dict[str, _Seat])
    _requests: Rate | None = None
    _tokens: Rate | None = None
    _cool_until: float = -math.inf
    _throttles: int = 0
    _failures: int = 0
    _failing_since: float = 0.0
    _answered: float = 0.0
    _answers: int = 0

    def __post_init__(self) -> None:
        self._answered = self.clock()
        limits = self.limits
        self._requests = None if limits.requests_per_minute is None else Rate(limits.requests_per_minute)
        self._tokens = None if limits.tokens_per_minute is None else Rate(limits.tokens_per_minute)

    def exchange(self, report: Report) -> Grant:
        """Take note of a report and grant what is possible."""
        now = self.clock()
        seat = self._seats.setdefault(report.actor, _Seat(report))
        seat.report, seat.idle_usd, seat.seen = report, report.idle_usd, now
        self._hear(report, now)
        for age, requests, tokens in report.unused:
            if self._requests and requests:
                self._requests.give_back(now, requests, age)
            if self._tokens and tokens:
                self._tokens.give_back(now, tokens, age)
        usd = self._money(seat, now)
        pause = max(0.0, self._cool_until - now)
        starts = report.waiting > 0 and not seat.denied and pause == 0 and self.stop is None
        requests, tokens = self._rates(report, now) if starts else (0.0, 0.0)
        return Grant(
            usd=usd,
            requests=math.inf if self._requests is None else requests,
            tokens=math.inf if self._tokens is None else tokens,
            pause_s=pause,
            concurrency=self._share(report.actor, now),
            tight=any(other.denied for other in self._live(now) if other is not seat),
            stop=self.stop,
        )

    def spend(self) -> Spend:
        """What this call of the run took so far."""
        seats = self._seats.values()
        spent = sum(seat.report.spent_usd for seat in seats)
        return Spend(
            spent,
            sum(seat.held_usd for seat in seats) - spent,
            sum(seat.report.tokens for seat in seats),
            self._answers,
        )

    def start_over(self, committed_usd: float) -> None:
        """All actors have ended, and the rows say what they spent: what they were leased is free again. The rates and
        the cool-down go on."""
        self.committed_usd, self._answers = committed_usd, 0
        self._seats.clear()

    def _money(self, seat: _Seat, now: float) -> float:
        report, seat.denied = seat.report, False
        if self.limits.cap_usd is None:
            return math.inf
        if self.stop or not report.want_usd:
            return 0.0
        free = self.limits.cap_usd - self.committed_usd - sum(other.held_usd for other in self._seats.values())
        if report.waiting and report.next_usd > free:
            seat.denied = True
            # Calls in flight may turn out cheaper than reserved, idle leases come back: then it goes on.
            if not any(other.report.in_flight or other.idle_usd for other in self._live(now)):
                self.stop = self._at_the_cap(report.next_usd)
            return 0.0
        fair = BLOCK_SHARE * free / max(1, len(self._live(now)))
        # Never more than is free: without a call that waits, a block may be smaller than the next one needs.
        granted = min(report.want_usd, max(fair, report.next_usd), max(free, 0.0))
        seat.idle_usd += granted
        return granted

    def _rates(self, report: Report, now: float) -> tuple[float, float]:
        requests, tokens = report.want_requests, report.want_tokens
        if self._requests:
            requests = self._requests.take(now, requests, 1)
        if self._tokens and requests:
            tokens = self._tokens.take(now, tokens, report.next_tokens)
        return requests, tokens

    def _hear(self, report: Report, now: float) -> None:
        if report.throttled:
            self._cool_down(report.retry_after_s, now)
        if report.succeeded > 0:
            self._answers += report.succeeded
            self._failures, self._answered, self._failing_since = 0, now, now
            if now >= self._cool_until:
                self._throttles = 0
        if report.failed and self._failures == 0:
            self._failing_since = now
        self._failures += report.failed
        if self.stop is None and report.fatal:
            self.stop = Stop("teacher", report.sentence)
        elif self.stop is None and report.failed and self._hopeless(now):
            told = f"the teacher answered none of the last {self._failures:,} calls; the latest: {report.sentence}."
            self.stop = Stop("teacher", told, "Everything paid for is kept; the same command resumes.")

    def _hopeless(self, now: float) -> bool:
        if self._failures < FAILURES_PER_CALL * self.limits.concurrency:
            return False
        # Who asks for patience gets more of it.
        return now - max(self._failing_since, self._cool_until) > FAILING_S or now - self._answered > SILENT_S

    def _cool_down(self, retry_after_s: float | None, now: float) -> None:
        if retry_after_s is None:
            if now < self._cool_until:
                return  # it was in flight when the cool-down began
            retry_after_s = min(LONGEST_COOL_DOWN_S, COOL_DOWN_S * 2**self._throttles)
            self._throttles += 1
        self._cool_until = max(self._cool_until, now + retry_after_s)

    def _at_the_cap(self, next_usd: float) -> Stop:
        spent = self.committed_usd + sum(seat.held_usd for seat in self._seats.values())
        return Stop(
            "budget",
            f"teacher.budget_usd: ${spent:.4f} of ${self.limits.cap_usd:.4f} are spent or unsettled, and the next call"
            f" may cost ${next_usd:.4f}.",
            "Everything paid for is kept: give a higher teacher.budget_usd and the same command goes on.",
        )

    def _live(self, now: float) -> list[_Seat]:
        return [seat for seat in self._seats.values() if now - seat.seen < DEAD_S]

    def _share(self, actor: str, now: float) -> int:
        busy = (seat.report for seat in self._live(now) if seat.report.in_flight or seat.report.waiting)
        names = sorted({actor, *(report.actor for report in busy)})
        each, over = divmod(self.limits.concurrency, len(names))
        return max(1, each + (names.index(actor) < over))
