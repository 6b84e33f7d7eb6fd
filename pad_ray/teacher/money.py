"""What calls cost: really, at the worst, and as far as can be said before the first one.

Plain arithmetic on a price table. The worst case of a call is what is reserved before it starts (decision 3), so it
must never be too low; the expectation is what the plan tells, so it should be about right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

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
        """Upper bound of one call."""
        prompt = most_prompt_tokens(request)
        usd = (prompt * max(self.input, self.cached) + request.max_tokens * self.output) / PER
        return Worst(usd, prompt + request.max_tokens)


def dollars(usd: float) -> str:
    """An amount as people read it: cents, and of small amounts the first two digits that count."""
    if usd == 0 or usd >= 1:
        return f"${usd:,.2f}"
    digits = min(8, max(2, 1 - math.floor(math.log10(usd))))
    units, _, fraction = f"{usd:.{digits}f}".partition(".")
    return f"${units}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def spend_sentence(spend: Mapping[str, Any]) -> str:
    """The `spend` of a status in words."""
    tokens = f"{spend['prompt_tokens']:,} prompt and {spend['completion_tokens']:,} completion tokens"
    said = f"{dollars(spend['usd'])} for {tokens}"
    if calls := spend["unsettled_calls"]:
        said += f"; {calls:,} {'call' if calls == 1 else 'calls'} unsettled, at most {dollars(spend['unsettled'])} more"
    return said


def price_of(table: Mapping[Literal["input", "output", "cached"], float] | Literal["unknown_ok"] | None) -> Price:
    """The price of a recipe's `teacher.price`; without `cached`, tokens from a prefix cache cost what others cost."""
    if table is None or table == "unknown_ok":
        return Price(known=False)
    fresh = table["input"]
    return Price(fresh, table["output"], table.get("cached", fresh))


class Outlook(NamedTuple):
    """What requests are expected to take, and the most they can take if no call has to be repeated."""

    requests: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    most_prompt_tokens: int = 0
    most_completion_tokens: int = 0
    largest_call: int = 0
    """Most tokens of a single call: a limit below it could never be kept."""

    def plus(self, other: Outlook) -> Outlook:
        """Of both together."""
        return Outlook(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.most_prompt_tokens + other.most_prompt_tokens,
            self.most_completion_tokens + other.most_completion_tokens,
            max(self.largest_call, other.largest_call),
        )

    def usd(self, price: Price) -> float:
        """Expected dollars."""
        return (self.prompt_tokens * price.input + self.completion_tokens * price.output) / PER

    def most_usd(self, price: Price) -> float:
        """Dollars at the worst."""
        dearest = max(price.input, price.cached)
        return (self.most_prompt_tokens * dearest + self.most_completion_tokens * price.output) / PER


def outlook(request: Request) -> Outlook:
    """What a request should take, before any reply was measured."""
    characters = sum(len(message.content) for message in request.messages)
    most = most_prompt_tokens(request)
    reply = COMPLETION_SHARE * request.max_tokens
    return Outlook(1, characters / CHARS_PER_TOKEN, reply, most, request.max_tokens, most + request.max_tokens)


def longer(look: Outlook, most_bytes: int) -> Outlook:
    """Of a request whose prompt may turn out longer by so many bytes; what is expected stays."""
    return look._replace(
        most_prompt_tokens=look.most_prompt_tokens + most_bytes, largest_call=look.largest_call + most_bytes
    )


def most_prompt_tokens(request: Request) -> int:
    """Upper bound: every token is at least one byte, and a chat template adds its marks."""
    text = sum(len(message.content.encode(errors="backslashreplace")) for message in request.messages)
    return text + MARKS_PER_MESSAGE * (len(request.messages) + 1)  # the marks before the reply too
