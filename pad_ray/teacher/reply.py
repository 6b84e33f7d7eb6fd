"""The OpenAI chat format, as it is sent and as it comes back: whole, cut short, or as something else altogether.

Read by hand and not by the client's models: those fill what is missing with None, and give up on a body that is cut
although the tokens it was billed for may stand in the part that came.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, TypeGuard

from pad_ray.records import Request

LIMITS = ("max_tokens", "max_completion_tokens")
"""What models call the limit on a reply's tokens: nearly all know the first, those that think only the second."""
_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')
_FINISHED = {"stop", "length", "content_filter"}


class Usage(NamedTuple):
    """Tokens that a reply was billed for."""

    prompt: int
    cached: int
    """Of the prompt tokens, those that the provider had in its prefix cache."""
    completion: int


class Reply(NamedTuple):
    """What a 200 held."""

    text: str
    finish_reason: str
    model: str
    """Who answered, as the teacher names itself; empty if it does not."""
    usage: Usage | None
    """None if it was not told, or not readably."""
    fault: str = ""
    """Why this is no reply, or empty."""


def body(request: Request, limit: str = LIMITS[0]) -> bytes:
    """The request as JSON; `limit` is what the model calls the limit on a reply's tokens."""
    asked = {
        "model": request.model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": request.temperature,
        limit: request.max_tokens,
        "seed": request.seed,
    }
    return json.dumps(asked, separators=(",", ":")).encode()


def read(data: bytes) -> Reply:
    """The reply in the body of a 200. One without choices or text is a `fault`, with its usage where it tells one."""
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        kind = "HTML" if data.lstrip()[:1] == b"<" else "no JSON" if data.strip() else "empty"
        return broken(data, f"the reply is {kind}, or was cut short: {data[:60].decode(errors='replace')!r}")
    usage = _usage(answer.get("usage")) if isinstance(answer, dict) else None
    try:
        choice = answer["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
    except (TypeError, AttributeError, KeyError, IndexError):
        # Some endpoints answer their own failures with 200.
        told = answer.get("error") if isinstance(answer, dict) else None
        return Reply("", "error", "", usage, f"the reply has no choices{f': {told}' if told else ''}")
    model = answer.get("model")
    finish = finish if finish in _FINISHED else "stop"
    if not isinstance(text, str):
        finish = "content_filter" if refusal else finish
        # Nothing was written for a reason that would come again: the filter, or all tokens spent on thinking.
        if finish == "stop":
            return Reply("", "error", "", usage, "the reply has no text")
        text = ""
    return Reply(text, finish, model if isinstance(model, str) else "", usage)


def broken(data: bytes, fault: str) -> Reply:
    """A body that is no reply; its usage, if that came whole, is what it cost."""
    found = list(_USAGE.finditer(data))
    usage = None
    if found:
        try:
            rest = data[found[-1].end() :].decode(errors="replace")
            usage = _usage(json.JSONDecoder().raw_decode(rest)[0])
        except (ValueError, RecursionError):
            usage = None
    return Reply("", "error", "", usage, fault)


def _usage(told: Any) -> Usage | None:
    if not isinstance(told, dict):
        return None
    details = told.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if not _count(prompt) or not _count(completion):
        return None
    return Usage(prompt, min(cached, prompt) if _count(cached) else 0, completion)


def _count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
