"""What one request was billed so far, over all its attempts, and the Sample that says so."""

from __future__ import annotations

from collections.abc import Callable

from pad_ray.records import Request, Sample
from pad_ray.teacher.failure import Failure
from pad_ray.teacher.money import Price, Worst
from pad_ray.teacher.reply import Reply

Reserved = Callable[[Request, float, int], None]
"""Told before a call what its request may cost beyond what was told for it before, in dollars and tokens."""


class Bill:
    """Attempts of one request: what is known to be billed, and what may have been."""

    def __init__(self, request: Request, price: Price) -> None:
        self.worst = price.worst(request)
        """Of one attempt."""
        self.attempts = 0
        self.in_vain = 0
        """Attempts that were billed and gave no reply."""
        self._request, self._price = request, price
        self._prompt = self._completion = 0
        self._usd = self._unsettled_usd = 0.0
        self._unsettled_tokens = 0
        self._told = Worst(0.0, 0)

    def attempt(self, reserved: Reserved) -> None:
        """A call is about to start. Calls that cost nothing leave their part to the next one."""
        self.attempts += 1
        usd = self._usd + self._unsettled_usd + self.worst.usd - self._told.usd
        tokens = self._prompt + self._completion + self._unsettled_tokens + self.worst.tokens - self._told.tokens
        if tokens > 0:
            reserved(self._request, usd, tokens)
            self._told = Worst(self._told.usd + usd, self._told.tokens + tokens)

    def book(self, result: Reply | Failure | None) -> tuple[float, int]:
        """An attempt is over, with None if it was given up; returns its dollars and tokens, the most if unknown."""
        if isinstance(result, Failure) and not result.billed:
            return 0.0, 0
        usage = result.usage if isinstance(result, Reply) else None
        if usage is None:
            self._unsettled_usd += self.worst.usd
            self._unsettled_tokens += self.worst.tokens
            return self.worst
        usd = self._price.cost(*usage)
        self._usd += usd
        self._prompt += usage.prompt
        self._completion += usage.completion
        self.in_vain += isinstance(result, Reply) and result.fault != ""
        return usd, usage.prompt + usage.completion

    def answered(self, reply: Reply, seconds: float) -> Sample:
        """The Sample of a reply that took so long."""
        return self._sample(reply.text, reply.finish_reason, model=reply.model or self._request.model, seconds=seconds)

    def failed(self, error: str, *, transient: bool) -> Sample:
        """The Sample of a request that got no reply."""
        return self._sample("", "error", model=self._request.model, error=error, transient=transient)

    def _sample(
        self, text: str, finish: str, *, model: str, seconds: float = 0.0, error: str = "", transient: bool = False
    ) -> Sample:
        return Sample(
            self._request.sample_id,
            text,
            finish_reason=finish,
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            cost_usd=self._usd,
            latency_s=round(seconds, 6),
            error=error,
            transient=transient,
            model=model,
            attempts=self.attempts,
            unsettled_usd=self._unsettled_usd,
        )
