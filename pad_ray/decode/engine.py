"""The one interface to whatever generates text: prompts in, completions out, in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote after one prompt."""

    text: str
    """The text, without special tokens and otherwise as it came."""
    finish_reason: Literal["stop", "length"]
    """`stop`: the model ended it or wrote the stop text; `length`: it was cut at its limit or the context's."""
    prompt_tokens: int
    """Tokens read."""
    completion_tokens: int
    """Tokens generated, the end token included."""


class Engine(Protocol):
    """Anything that completes prompts."""

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
    ) -> list[Completion]:
        """One completion per prompt, in order.

        `max_tokens` bounds each completion. `temperature` 0 is greedy and ignores the seed. A sampled completion
        depends on its prompt and its own seed only, never on the prompts beside it: give one seed per prompt, or a
        single one from which the prompts draw by their position. With `stop`, a completion ends as soon as its text
        holds that text, and is cut before it.
        """
        ...
