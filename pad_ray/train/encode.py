"""Examples as token ids: prompt, completion, end-of-sequence, and where the loss begins.

Prompt and completion are tokenized apart, so the boundary between them is exact and decoding sees the same prompt ids.
Where an encoder reads the prompt, it gets what the tokenizer makes of a text by itself, and so does the decoder.
An example that is too long is dropped and counted: a truncated program would teach programs that never end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pad_ray.decode.chat import chat_prompt
from pad_ray.decode.encoder_decoder_engine import source_ids
from pad_ray.errors import StudentError
from pad_ray.records import Example

LOOKED_AT = 100
"""Completions that are read back to see whether a tokenizer keeps programs as they are."""


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
    apart: bool = False
    """Whether an encoder reads the prompts and a decoder writes the completions."""

    @property
    def sides(self) -> tuple[list[int], ...]:
        """Lengths of the rows: of the whole, or of what the encoder reads and of what the decoder writes."""
        if self.apart:
            return [row.prompt for row in self.rows], [row.completion for row in self.rows]
        return ([len(row.ids) for row in self.rows],)


def encode(
    examples: Sequence[Example], tokenizer: Any, max_length: int, apart: bool = False, chat: bool = False
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
        examples = [replace(example, prompt=chat_prompt(tokenizer, example.prompt)) for example in examples]
    if apart:
        return _encode_apart(examples, tokenizer, max_length)
    start = _start(tokenizer)
    prompts = tokenizer([example.prompt for example in examples], add_special_tokens=False)["input_ids"]
    completions = tokenizer([example.completion for example in examples], add_special_tokens=False)["input_ids"]
    # The text of a chat may begin with it already.
    prompts = [prompt if start and tuple(prompt[:1]) == start else [*start, *prompt] for prompt in prompts]
    rows = tuple(
        Encoded((*prompt, *completion, tokenizer.eos_token_id), len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
        if len(prompt) + len(completion) < max_length
    )
    return Encoding(rows, len(examples) - len(rows))


def _encode_apart(examples: Sequence[Example], tokenizer: Any, max_length: int) -> Encoding:
    start, end = _start(tokenizer), tokenizer.eos_token_id
    prompts = source_ids(tokenizer, [example.prompt for example in examples])
    completions = tokenizer([example.completion for example in examples], add_special_tokens=False)["input_ids"]
    _check_text(examples, completions, tokenizer)
    rows = tuple(
        Encoded((*prompt, *start, *completion, end), len(prompt))
        for prompt, completion in zip(prompts, completions, strict=True)
        if len(prompt) + len(start) + len(completion) < max_length
    )
    return Encoding(rows, len(examples) - len(rows), apart=True)


def _check_text(examples: Sequence[Example], completions: Sequence[Sequence[int]], tokenizer: Any) -> None:
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
