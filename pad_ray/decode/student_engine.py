"""What every engine of a student shares, whatever computes its scores: the way between text and tokens.

A prompt is read as the student learned to read it, and what it wrote becomes a completion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pad_ray.decode.chat import chat_prompt, is_chatting, render
from pad_ray.decode.engine import Completion, Engine
from pad_ray.recipe import EngineName
from pad_ray.records import Message


class StudentEngine(Engine):
    """The engine of one student's folder, with its tokenizer and the chat that it was trained in, if any."""

    name: EngineName
    """What it is called where one chooses."""
    device: str
    """Where it computes: `cpu`, `cuda`."""

    def __init__(self, student_dir: str | Path, tokenizer: Any, batch_size: int) -> None:
        """Raises StudentError for a damaged card."""
        self.student_dir = str(student_dir)
        self.batch_size = batch_size
        """Prompts that are decoded together."""
        self.learned_chat = self.wraps = is_chatting(self.student_dir)
        self._tokenizer = tokenizer

    @property
    def chats(self) -> bool:
        """Whether it is to be asked in a chat: its tokenizer has a template, and it wraps no prompt by itself."""
        return self._tokenizer.chat_template is not None and not self.wraps

    def chat(self, messages: Sequence[Message]) -> str:
        """The prompt a chat model is asked with, up to where its reply begins; for models that `chats`."""
        from jinja2 import TemplateError

        turns = [asdict(message) for message in messages]
        try:
            return render(self._tokenizer, turns)
        except TemplateError:
            # Some templates refuse a system message; what it says then leads the question.
            turns[:2] = [{"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}]
            return render(self._tokenizer, turns)

    def ids(self, prompt: str) -> list[int]:
        """The token ids that the model reads for a prompt, as a turn of a chat where it wraps them."""
        return self._ids(chat_prompt(self._tokenizer, prompt) if self.wraps else prompt)

    def _ids(self, prompt: str) -> list[int]:
        return prompt_ids(self._tokenizer, prompt)

    def _read(self, prompts: Sequence[str]) -> list[list[int]]:
        """The token ids of all prompts. Raises ValueError where there is nothing to start from."""
        read = [self.ids(prompt) for prompt in prompts]
        if not all(read):
            place = next(place for place, ids in enumerate(read) if not ids)
            raise ValueError(f"prompts[{place}] is empty, and this model's tokenizer adds nothing to start from.")
        return read

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _completion(
        self,
        read: int,
        written: Sequence[int],
        tokens: Sequence[int],
        logprobs: Sequence[float],
        *,
        stop: str,
        stopped: bool,
        at_stop: bool,
    ) -> Completion:
        """What a model wrote after `read` tokens of a prompt, and behind those that it had `written` before."""
        text = self._text([*written, *tokens])
        if stop:
            before = len(self._text(written))
            text = text[:before] + text[before:].split(stop, 1)[0]
        return Completion(
            text=text,
            finish_reason="stop" if stopped else "length",
            prompt_tokens=read,
            completion_tokens=len(tokens),
            tokens=tuple(tokens),
            logprobs=tuple(logprobs),
            at_stop=at_stop,
        )


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """The token ids a model reads: the prompt alone, behind the BOS token if the tokenizer adds one by itself.

    Nothing is added at the end, as the completion follows there; training encodes its prompts the same way.
    """
    ids: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    # The text of a chat may begin with it already.
    return ids if not adds_bos(tokenizer) or ids[:1] == [tokenizer.bos_token_id] else [tokenizer.bos_token_id, *ids]


def adds_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer puts the BOS token before a text by itself."""
    bos: int | None = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[0] == bos


def stop_ids(tokenizer: Any, settings: Any) -> frozenset[int]:
    """The end token that training appends, and those the model was made with, by its GenerationConfig."""
    configured = settings.eos_token_id
    several = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *several) if token is not None)
