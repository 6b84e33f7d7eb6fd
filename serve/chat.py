"""The OpenAI shape of a question and its answer, so that clients made for it work as they are.

The last message is the question. Its content is answered with the value alone; the program that gave it stands beside
it as `reasoning_content`, where clients look for what a model thought, and the whole Answer as `pad_ray`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pad_ray.decode.answering import Ask
from pad_ray.outcomes import Outcome
from pad_ray.reasoner import decode_settings
from serve.replies import Replied
from serve.schema import MAX_NAME_CHARS, MAX_QUESTION_CHARS, MAX_SAMPLES, MAX_SEED, MAX_TOKENS, readable
from serve.watching import Event

MAX_MESSAGES = 256


class TextPart(BaseModel):
    """A piece of a message; only text is read."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of a chat. Names, tool calls and the like are not looked at."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """How to stream."""

    include_usage: bool = False


class ChatBody(BaseModel):
    """A chat whose last message is the question. A student reads that one alone: it was taught to answer questions.

    What would change the answer in ways that a program has no use for (tools, stop, logprobs…) is refused; what changes
    nothing (user, metadata…) is taken and ignored.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    model: str = Field(max_length=MAX_NAME_CHARS)
    """Which student, of those that GET /v1/models lists."""
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    """The chat."""
    stream: bool = False
    """Whether to send the steps as they are verified."""
    stream_options: StreamOptions | None = None
    """`include_usage`: a last chunk with the tokens."""
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    """Limit on one program, in tokens; the older name of `max_completion_tokens`."""
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    """Limit on one program, in tokens; default 256."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """For samples that vote; a single program is always the likeliest one."""
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    """The same question and seed get the same programs again, up to rounding where others are decoded beside them."""
    n: Literal[1] | None = None
    """One answer is given; `samples` is how many programs vote on it."""
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    """Programs that vote; not in the original."""
    user: Any = None
    metadata: Any = None
    store: Any = None
    top_p: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's: it is the question")
        question = readable(self.messages[-1].text)
        if len(question) > MAX_QUESTION_CHARS:
            raise ValueError(f"the question has {len(question)} characters; at most {MAX_QUESTION_CHARS} are allowed")
        return self

    def ask(self) -> Ask:
        """The question with its settings."""
        limit = self.max_completion_tokens or self.max_tokens or 256
        kind = "vote" if self.samples > 1 else "greedy"
        temperature = 0.7 if self.temperature is None else self.temperature
        settings = decode_settings(kind, self.samples, limit, temperature)
        return Ask(self.messages[-1].text, settings, self.seed or 0)


def completion(replied: Replied, model: str) -> dict[str, Any]:
    """An answer as a `chat.completion`."""
    answer = replied.answer
    message = {"role": "assistant", "content": content(asdict(answer)), "reasoning_content": answer.program}
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer.outcome), "logprobs": None}
    head = _head("chat.completion", model)
    return {
        **head,
        "choices": [choice],
        "usage": _usage(replied.prompt_tokens, answer.tokens),
        "pad_ray": asdict(answer),
    }


def chunks(model: str, include_usage: bool) -> Callable[[Event], bytes]:
    """What turns the events of one question into `chat.completion.chunk` lines: steps as reasoning, then the value."""
    head = _head("chat.completion.chunk", model)
    read = 0

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _line({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    def encode(event: Event) -> bytes:
        nonlocal read
        match event.name:
            case "accepted":
                return chunk({"role": "assistant", "content": ""})
            case "step":
                return chunk({"reasoning_content": _step_line(event.data)})
            case "answer":
                lines = chunk({"content": content(event.data)}) + chunk({}, _finish(event.data["outcome"]))
                if include_usage:
                    lines += _line({**head, "choices": [], "usage": _usage(read, event.data["tokens"])})
                return lines + b"data: [DONE]\n\n"
            case "error":
                return _line(event.data)
            case "program":
                read = event.data["prompt_tokens"]
                return b""
            case "path":
                return b""

    return encode


def content(answer: dict[str, Any]) -> str:
    """What is said of an answer in a chat: the value alone, or why there is none."""
    return answer["answer"] or f"No answer. {Outcome(answer['outcome']).meaning}"


def model_card(name: str, created: int) -> dict[str, Any]:
    """A student as GET /v1/models lists it; `created` in seconds since 1970."""
    return {"id": name, "object": "model", "created": created, "owned_by": "pad_ray"}


def _step_line(step: dict[str, Any]) -> str:
    verdict = step["value"] or step["detail"] or step["state"].replace("_", " ")
    return f"{step['code']}  # {' '.join(verdict.split())}\n"


def _finish(outcome: str) -> str:
    return "length" if outcome == Outcome.TRUNCATED else "stop"


def _usage(read: int, written: int) -> dict[str, int]:
    """Tokens: of the prompt, once however many programs were written after it, and of all programs."""
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _line(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
