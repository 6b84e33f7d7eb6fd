"""What the fault server answers: a reply as the model would give it, and the ways in which a call goes wrong."""

from __future__ import annotations

import json
import random
import re
from typing import Any, NamedTuple

from pad_ray.thoughts.files import prompt_text

STATUSES = {
    "400": (400, "context_length_exceeded", "This model's maximum context length is 64 tokens."),
    "old_name": (400, "unsupported_parameter", "Unsupported parameter: use 'max_completion_tokens' instead."),
    "401": (401, "invalid_api_key", "Incorrect API key provided: {key}."),
    "403": (403, "forbidden", "You are not allowed to sample from this model."),
    "404": (404, "model_not_found", "The model `{model}` does not exist."),
    "408": (408, "timeout", "Request timeout."),
    "409": (409, "conflict", "The lock is held."),
    "413": (413, "too_large", "The request is too large."),
    "422": (422, "unprocessable", "The request cannot be processed."),
    "429": (429, "rate_limit_exceeded", "Rate limit reached."),
    "429_seconds": (429, "rate_limit_exceeded", "Rate limit reached."),
    "429_date": (429, "rate_limit_exceeded", "Rate limit reached."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "500": (500, "server_error", "The server had an error."),
    "502": (502, "bad_gateway", "Bad gateway."),
    "503": (503, "unavailable", "The engine is overloaded."),
    "529": (529, "overloaded", "Overloaded."),
}
BODIES = ("cut", "malformed", "truncated", "no_choices", "null_content", "html")
FAULTS = (
    *("408", "409", "429", "429_seconds", "429_date", "500", "502", "503", "529"),
    *("refused", "reset", "slow"),
    *BODIES,
)
"""What `--faults` draws from; the rest only comes when it is asked for."""
UNBILLED = {"cut", "malformed", "truncated", "html"}

_SCRIPT = re.compile(r"\[(faults|always): *([\w, ]+)\]")


class Made(NamedTuple):
    """A reply as the model gives it, before anything goes wrong with it."""

    body: bytes
    prompt: int
    cached: int
    completion: int


def scripted(question: str, call: int) -> str | None:
    """The fault that a question asks for at its n-th call (from 1), empty for none; None if it does not say."""
    script = _SCRIPT.search(question)
    if script is None:
        return None
    kinds = [kind.strip() for kind in script[2].split(",")]
    if script[1] == "always":
        return kinds[0]
    return kinds[call - 1] if call <= len(kinds) else ""


def make(asked: dict[str, Any], answer: str | None, right: float, draw: random.Random) -> Made:
    """The reply to a call that goes well: a program for the answer, or else for the sum of the question's numbers."""
    question = _SCRIPT.sub("", asked["messages"][-1]["content"])
    if asked["messages"][0]["content"] == prompt_text("rewrite_system"):
        text = rewritten(question)
    else:
        total = answer or str(sum(int(number) for number in re.findall(r"\d+", question)))
        slip = "" if draw.random() < right else f" + {draw.randint(1, 9)}"
        text = f"```python\ndef solution():\n    result = {total}{slip}\n    return result\n```"
    words = re.findall(r"\s*\S+", text)
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or len(words)
    sizes = [len(message["content"].split()) + 4 for message in asked["messages"]]
    prompt, cached, completion = sum(sizes), sum(sizes[:-1]), min(limit, len(words))
    reply = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": asked["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "".join(words[:limit])},
                "finish_reason": "length" if limit < len(words) else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
        "system_fingerprint": "fp_0123456789",
    }
    return Made(json.dumps(reply).encode(), prompt, cached, completion)


def rewritten(told: str) -> str:
    """What the model makes of a problem: of every fifth the same again, of the others what it was told to."""
    told, _, question = told.partition("Problem: ")
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if sum(numbers) % 5 == 4:
        return question
    if told == prompt_text("rewrite_rephrase").partition("Problem: ")[0]:
        return f"New problem: In other words, {question}"
    if told == prompt_text("rewrite_change_numbers").partition("Problem: ")[0]:
        return re.sub(r"\d+", lambda number: str(int(number[0]) + 100), question)
    return f"{question} And how much is it with {sum(numbers)} more?\n\nAnswer: {2 * sum(numbers)}"


def spoil(body: bytes, fault: str, after_usage: bool) -> bytes:
    """What is sent of a reply's body; `cut` sends less than it announces. Usage is whole in it or not there at all."""
    usage, later = body.find(b'"usage"'), body.find(b'"system_fingerprint"')
    if fault in ("cut", "truncated"):
        return body[: later if after_usage else usage // 2]
    if fault == "malformed":
        whole = body if after_usage else body[:usage] + b"}"
        return whole.replace(b'"choices": [', b'"choices": [{', 1)
    if fault == "html":
        return b"<html><body><h1>The service is being updated</h1></body></html>"
    reply = json.loads(body)
    if fault == "no_choices":
        reply["choices"] = []
    elif fault == "null_content":
        reply["choices"][0]["message"]["content"] = None
    return json.dumps(reply).encode()
