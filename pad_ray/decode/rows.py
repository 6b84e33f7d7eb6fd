"""One prompt on its way to a completion, and how its next token is chosen: alike in every engine.

Each row draws from its own stream of numbers, so a sample does not depend on what is decoded beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class Row:
    """One prompt on its way to a completion."""

    prompt: list[int]
    """Token ids that the model reads."""
    limit: int
    """Most tokens it may write."""
    draw: Callable[[], float]
    """Its stream of uniform numbers."""
    written: list[int] = field(default_factory=list[int])
    """Token ids that were written before, behind which it goes on."""
    tokens: list[int] = field(default_factory=list[int])
    """Token ids written so far."""
    logprobs: list[float] = field(default_factory=list[float])
    """The logarithm of the probability of each."""
    at_stop: bool = False
    """Whether it holds the stop text."""
    stopped: bool = False
    """Whether the model ended it, or wrote the stop text."""
    wanted: Callable[[], bool] = lambda: True
    """Whether anybody waits for it."""

    @property
    def read(self) -> list[int]:
        """All token ids that are there before the first new one."""
        return self.prompt + self.written

    @property
    def done(self) -> bool:
        """Whether nothing more is to be written."""
        return self.stopped or len(self.tokens) >= self.limit or not self.wanted()


def choose(logits: torch.Tensor, temperature: float, rows: Sequence[Row]) -> torch.Tensor:
    """The next token of every row, of scores [rows, vocabulary]: the likeliest, or what the row's own draw falls on."""
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1)
    # Summed in double precision: float32 sums over a large vocabulary would shift the rare tokens.
    heights = torch.softmax(logits.float() / temperature, dim=-1).cumsum(dim=-1, dtype=torch.float64)
    draws = torch.tensor([row.draw() for row in rows], dtype=heights.dtype, device=heights.device)
    marks = (draws * heights[:, -1])[:, None]
    return torch.searchsorted(heights, marks, right=True).squeeze(1).clamp(max=logits.shape[-1] - 1)


def logprobs(logits: torch.Tensor, chosen: torch.Tensor) -> list[float]:
    """The logarithm of the probability of each row's chosen token, of scores [rows, vocabulary]."""
    scores = logits.float()
    return (scores.gather(1, chosen[:, None]).squeeze(1) - scores.logsumexp(dim=1)).tolist()


def draws(seed: int | Sequence[int], count: int) -> list[Callable[[], float]]:
    """A stream of uniform numbers for every prompt. Raises ValueError where seeds and prompts do not match."""
    if isinstance(seed, int):
        return [np.random.default_rng([seed, index]).random for index in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed: {len(seed)} seeds for {count} prompts; give one per prompt, or a single number.")
    return [np.random.default_rng(one).random for one in seed]
