"""Examples as token ids: prompt, completion, end-of-sequence, and where the loss begins.

Prompt and completion are tokenized apart, so the boundary between them is exact and decoding sees the same prompt ids.
Where an encoder reads the prompt, it gets what the tokenizer makes of a text by itself, and so does the decoder.
An example that is too long is dropped and counted: a truncated program would teach programs that never end.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

from pad_ray.decode.chat import chat_prompt
from pad_ray.decode.encoder_decoder_engine import source_ids
from pad_ray.errors import StudentError
from pad_ray.records import Pair

AT_ONCE = 4096
"""Examples that are tokenized together."""
LOOKED_AT = 100
"""Completions that are read back to see whether a tokenizer keeps programs as they are."""


class Text(Protocol):
    """What can be encoded: an Example, or one side of a Pair."""

    @property
    def prompt(self) -> str: ...

    @property
    def completion(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Side:
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as token ids."""

    ids: Sequence[int]
    """Prompt, completion and end-of-sequence; an array, since every worker holds those of all examples."""
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
    apart: bool = False
    """Whether an encoder reads the prompts and a decoder writes the completions."""
    pairs: bool = False
    """Whether each two rows are a pair that no cut may part."""
    stages: tuple[int, ...] = ()
    """Rows of each stage of a curriculum, one stage after the other; empty: all rows are trained on together."""

    @property
    def examples(self) -> int:
        """Examples (or pairs) that are trained on, in however many stages."""
        return self.stages[-1] if self.stages else len(self.sides[0])

    def cut(self) -> list[Encoding]:
        """One encoding for each stage, or the whole."""
        if not self.stages:
            return [self]
        ends = list(accumulate(self.stages))
        spans = zip([0, *ends], ends, strict=False)
        return [replace(self, rows=self.rows[start:end], stages=()) for start, end in spans]

    @property
    def sides(self) -> tuple[list[int], ...]:
        """Lengths of the rows: of the whole, or of what the encoder reads and of what the decoder writes.

        Of a pair, what both take when the shorter one is padded.
        """
        if self.apart:
            sides = [row.prompt for row in self.rows], [row.completion for row in self.rows]
        else:
            sides = ([len(row.ids) for row in self.rows],)
        if not self.pairs:
            return sides
        return tuple([2 * max(pair) for pair in zip(side[0::2], side[1::2], strict=True)] for side in sides)


def encode(
    examples: Sequence[Text], tokenizer: Any, max_length: int, apart: bool = False, chat: bool = False
) -> Encoding:
    """Tokenize a training set with a Hugging Face tokenizer; rows have at most `max_length` ids.

    `apart` is for encoder-decoder students; with `chat` the prompts are turns of a chat. Raises StudentError for a
    tokenizer that cannot mark the end of a text, for one without the chat template that is wanted, and, of an
    encoder-decoder student, for one that does not keep programs as they are.
    """
    if tokenizer.eos_token_id is None:
        raise StudentError(
            f"student.model: the tokenizer of {tokenizer.name_or_path!r} has no end-of-sequence token,"
            " so the student could never learn to stop.",
            hint="Add eos_token to its tokenizer_config.json.",
        )
    if not examples:
        return Encoding((), 0, apart)
    if chat:
        examples = [_Side(chat_prompt(tokenizer, example.prompt), example.completion) for example in examples]
    if apart:
        return _encode_apart(examples, tokenizer, max_length)
    rows = tuple(
        Encoded(array("i", (*prompt, *completion, tokenizer.eos_token_id)), len(prompt))
        for prompt, completion in _tokenized(examples, tokenizer)
        if len(prompt) + len(completion) < max_length
    )
    return Encoding(rows, len(examples) - len(rows))


def _tokenized(examples: Sequence[Text], tokenizer: Any) -> Iterator[tuple[list[int], list[int]]]:
    """Prompt and completion of each, some at a time: lists of numbers take ten times the room of what is kept."""
    start = _start(tokenizer)
    for at in range(0, len(examples), AT_ONCE):
        some = examples[at : at + AT_ONCE]
        prompts = tokenizer([example.prompt for example in some], add_special_tokens=False)["input_ids"]
        completions = tokenizer([example.completion for example in some], add_special_tokens=False)["input_ids"]
        for prompt, completion in zip(prompts, completions, strict=True):
            # The text of a chat may begin with it already.
            yield prompt if start and tuple(prompt[:1]) == start else [*start, *prompt], completion


def encode_pairs(
    pairs: Sequence[Pair], tokenizer: Any, max_length: int, apart: bool = False, chat: bool = False
) -> Encoding:
    """Tokenize pairs, the chosen program before the rejected one; a pair with one that is too long is dropped whole.

    Raises StudentError like `encode`.
    """
    sides = [_Side(pair.prompt, text) for pair in pairs for text in (pair.chosen, pair.rejected)]
    rows = encode(sides, tokenizer, sys.maxsize, apart, chat).rows
    fit = [two for two in zip(rows[0::2], rows[1::2], strict=True) if max(len(row.ids) for row in two) <= max_length]
    return Encoding(tuple(row for two in fit for row in two), len(pairs) - len(fit), apart, pairs=True)


def _encode_apart(examples: Sequence[Text], tokenizer: Any, max_length: int) -> Encoding:
    start, end = _start(tokenizer), tokenizer.eos_token_id
    prompts = source_ids(tokenizer, [example.prompt for example in examples])
    completions = tokenizer([example.completion for example in examples], add_special_tokens=False)["input_ids"]
    _check_text(examples, completions, tokenizer)
    rows = tuple(
        Encoded(array("i", (*prompt, *start, *completion, end)), len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
        if len(prompt) + len(start) + len(completion) < max_length
    )
    return Encoding(rows, len(examples) - len(rows), apart=True)


def _check_text(examples: Sequence[Text], completions: Sequence[Sequence[int]], tokenizer: Any) -> None:
    """Raises StudentError where most completions cannot be read back as they were."""
    some = [example.completion for example in examples[:LOOKED_AT]]
    read = [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in completions[:LOOKED_AT]]
    lost = [(text, back) for text, back in zip(some, read, strict=True) if text != back]
    if 2 * len(lost) > len(some):
        raise StudentError(
            f"student.model: the tokenizer of {tokenizer.name_or_path!r} does not keep programs as they are:"
            f" {lost[0][0][:60]!r} comes back as {lost[0][1][:60]!r}, so the student could never write one.",
            hint="Take a student whose tokenizer was made for code, such as Salesforce/codet5-small.",
        )


def _start(tokenizer: Any) -> tuple[int, ...]:
    """The beginning-of-sequence id, for tokenizers that put one in front by themselves."""
    bos = tokenizer.bos_token_id
    return (bos,) if bos is not None and tokenizer("a")["input_ids"][0] == bos else ()
