"""The one interface to whatever generates text: prompts in, completions out, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    tokens: tuple[int, ...] = ()
    """Their ids; with them as `written` the model goes on exactly where it stopped."""
    # In another batch sums are rounded otherwise; that makes no other completion.
    logprobs: tuple[float, ...] = field(default=(), compare=False)
    """The natural logarithm of each one's probability at temperature 1, whatever it was drawn at."""
    at_stop: bool = False
    """Whether it was the stop text that ended it, so that the model would have gone on."""


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
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        """One completion per prompt, in order.

        `max_tokens` bounds each completion. `temperature` 0 is greedy and ignores the seed. A sampled completion
        depends on its prompt and its own seed only, never on the prompts beside it: give one seed per prompt, or a
        single one from which the prompts draw by their position. With `stop`, a completion ends as soon as its text
        holds that text, and is cut before it.

        With `written`, the model has already written these tokens after each prompt and goes on behind them. They
        are part of the text, where the stop text is looked for behind them only, and of nothing else. A text would not
        do: another reading of it may be cut into other tokens than the model wrote.

        `wanted` says of a prompt, by its place, whether anybody still waits for its completion. What nobody waits for
        may end anywhere, by `length`. It is asked again and again, from the thread of the call.
        """
        ...
