"""Examples as token ids: prompt, completion, end-of-sequence, and where the loss begins.

Prompt and completion are tokenized apart, so the boundary between them is exact and decoding sees the same prompt ids.
An example that is too long is dropped and counted: a truncated program would teach programs that never end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pad_ray.errors import StudentError
from pad_ray.records import Example


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids."""

    ids: tuple[int, ...]
    """Prompt, completion and end-of-sequence."""
    prompt: int
    """How many leading ids belong to the prompt; the loss is taken on the rest."""

    @property
    def completion(self) -> int:
        """Number of tokens the loss is taken on: the end-of-sequence counts, a first token has nothing before it."""
        return len(self.ids) - max(self.prompt, 1)


@dataclass(frozen=True, slots=True)
class Encoding:
    """A training set as token ids."""

    rows: tuple[Encoded, ...]
    """The examples that fit, in their order."""
    dropped: int
    """How many were longer than the limit."""


def encode(examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoding:
    """Tokenize a training set with a Hugging Face tokenizer; rows have at most `max_length` ids.

    Raises StudentError for a tokenizer that cannot mark the end of a text.
    """
    if tokenizer.eos_token_id is None:
        raise StudentError(
            f"student.model: the tokenizer of {tokenizer.name_or_path!r} has no end-of-sequence token,"
            " so the student could never learn to stop.",
            hint="Add eos_token to its tokenizer_config.json.",
        )
    if not examples:
        return Encoding((), 0)
    start = _start(tokenizer)
    prompts = tokenizer([example.prompt for example in examples], add_special_tokens=False)["input_ids"]
    completions = tokenizer([example.completion for example in examples], add_special_tokens=False)["input_ids"]
    rows = tuple(
        Encoded((*start, *prompt, *completion, tokenizer.eos_token_id), len(start) + len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
        if len(start) + len(prompt) + len(completion) < max_length
    )
    return Encoding(rows, len(examples) - len(rows))


def _start(tokenizer: Any) -> tuple[int, ...]:
    """The beginning-of-sequence id, for tokenizers that put one in front by themselves."""
    bos = tokenizer.bos_token_id
    return (bos,) if bos is not None and tokenizer("a")["input_ids"][0] == bos else ()
