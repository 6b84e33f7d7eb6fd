"""A governor and its actors with one clock, and what really happened: what the tests of the governor play with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from pad_ray.teacher.governor import Governor, Grant, Limits
from pad_ray.teacher.money import Worst
from pad_ray.teacher.share import Share

COMMITTED = 0.25


@dataclass
class Actor:
    """A share, the calls it has in flight, and those that wait."""

    share: Share
    calls: list[tuple[Worst, float]] = field(default_factory=list)
    waiting: deque[Worst] = field(default_factory=deque)
    sent: Grant | None = None
    """A grant that is on its way."""
    alive: bool = True


class World:
    """A governor and its actors, with one clock; it writes down what really happened."""

    def __init__(self, limits: Limits, actors: int) -> None:
        self.now = 0.0
        self.limits = limits
        self.governor = Governor(limits, lambda: self.now, COMMITTED)
        self.actors = [Actor(Share(f"a{number}")) for number in range(actors)]
        self.spent = 0.0
        self.starts: list[tuple[float, Worst]] = []
        self.used: list[tuple[float, int]] = []
        """When a call that was settled began, and the tokens it took."""

    def report(self, actor: Actor) -> None:
        if actor.alive and actor.sent is None:
            actor.sent = self.governor.exchange(actor.share.report(self.now, list(actor.waiting)))

    def accept(self, actor: Actor) -> None:
        if actor.alive and actor.sent is not None:
            actor.share.accept(actor.sent, self.now)
            actor.sent = None
            self.start(actor)

    def start(self, actor: Actor) -> None:
        while actor.waiting and actor.alive and not actor.share.stop and actor.share.take(actor.waiting[0], self.now):
            call = actor.waiting.popleft()
            actor.calls.append((call, self.now))
            self.starts.append((self.now, call))

    def ask(self, actor: Actor, call: Worst) -> None:
        if actor.alive:
            actor.waiting.append(call)
            self.start(actor)

    def settle(self, actor: Actor, part: float) -> None:
        if actor.alive and actor.calls:
            call, began = actor.calls.pop(int(part * 997) % len(actor.calls))
            tokens = int(call.tokens * part)
            self.spent += call.usd * part
            self.used.append((began, tokens))
            actor.share.settle(call, spent_usd=call.usd * part, used_tokens=tokens, began=began)
            self.start(actor)

    def check(self) -> None:
        # The calls that an actor had in flight when it died may all be billed.
        open_ = sum(call.usd for actor in self.actors for call, _ in actor.calls)
        assert self.limits.cap_usd is not None
        assert COMMITTED + self.spent + open_ <= self.limits.cap_usd + 1e-9
        for limit, events in (
            (self.limits.requests_per_minute, [(when, 1) for when, _ in self.starts]),
            (self.limits.tokens_per_minute, self.used),
        ):
            if limit is not None:
                assert most_in_a_minute(events) <= limit


def most_in_a_minute(events: list[tuple[float, int]]) -> int:
    window: deque[tuple[float, int]] = deque()
    most = total = 0
    for when, amount in sorted(events):
        window.append((when, amount))
        total += amount
        while window[0][0] <= when - 60:
            total -= window.popleft()[1]
        most = max(most, total)
    return most
