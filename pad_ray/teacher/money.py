"""What calls cost: really, at the worst, and as far as can be said before the first one.

Plain arithmetic on a price table. The worst case of a call is what is reserved before it starts (decision 3), so it
must never be too low; the expectation is what the plan tells, so it should be about right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from pad_ray.records import Request

PER = 1e6
"""Prices are in dollars for so many tokens."""
MARKS_PER_MESSAGE = 16
"""Most tokens that a chat template adds around a message (role, turn marks); usual ones add 3 to 8."""
CHARS_PER_TOKEN = 3.6
"""Characters of English, numbers and Python that a token of today's vocabularies covers (3.2 to 4.2), for estimates."""
COMPLETION_SHARE = 0.5
"""Share of max_tokens that a reply is expected to take until replies have been measured."""


class Worst(NamedTuple):
    """The most that one call can be billed."""

    usd: float
    tokens: int
    """Of prompt and reply together."""


class Price(NamedTuple):
    """Dollars per million tokens."""

    input: float = 0.0
    output: float = 0.0
    cached: float = 0.0
    """Of prompt tokens that the provider had in its prefix cache."""
    known: bool = True
    """False where the recipe says `unknown_ok`: every cost is then told as 0."""

    def cost(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """Dollars for a usage; `cached_tokens` are among the `prompt_tokens`."""
        fresh = prompt_tokens - cached_tokens
        return (fresh * self.input + cached_tokens * self.cached + completion_tokens * self.output) / PER

    def worst(self, request: Request) -> Worst:
        """Upper bound of one call: a token is at least one byte of the prompt, a reply has at most max_tokens."""
        prompt = sum(len(message.content.encode(errors="backslashreplace")) for message in request.messages)
        prompt += MARKS_PER_MESSAGE * (len(request.messages) + 1)  # the reply's own marks too
        usd = (prompt * max(self.input, self.cached) + request.max_tokens * self.output) / PER
        return Worst(usd, prompt + request.max_tokens)


def price_of(table: Mapping[Literal["input", "output", "cached"], float] | Literal["unknown_ok"] | None) -> Price:
    """The price of a recipe's `teacher.price`; without `cached`, tokens from a prefix cache cost what others cost."""
    if table is None or table == "unknown_ok":
        return Price(known=False)
    fresh = table["input"]
    return Price(fresh, table["output"], table.get("cached", fresh))


class Outlook(NamedTuple):
    """What requests are expected to take, and the most that they can cost without failed attempts."""

    requests: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    usd: float = 0.0
    worst_usd: float = 0.0
    largest: Worst = Worst(0.0, 0)
    """The largest single call: limits below it could never be kept."""

    def plus(self, other: Outlook) -> Outlook:
        """Of both together."""
        return Outlook(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
            self.worst_usd + other.worst_usd,
            Worst(max(self.largest.usd, other.largest.usd), max(self.largest.tokens, other.largest.tokens)),
        )


def outlook(requests: Iterable[Request], price: Price, completion_tokens: float | None = None) -> Outlook:
    """What these requests should take; `completion_tokens` is the mean of replies measured so far, if there are any."""
    total = Outlook()
    for request in requests:
        characters = sum(len(message.content) for message in request.messages)
        prompt = characters / CHARS_PER_TOKEN
        reply = COMPLETION_SHARE * request.max_tokens if completion_tokens is None else completion_tokens
        usd = (prompt * price.input + reply * price.output) / PER
        worst = price.worst(request)
        total = total.plus(Outlook(1, prompt, reply, usd, worst.usd, worst))
    return total
