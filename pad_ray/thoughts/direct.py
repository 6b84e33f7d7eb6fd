"""No thought at all: the answer itself is asked for. What the programs of a distilled student are measured against.

Nothing is executed; the answer is read out of the reply.
"""

from __future__ import annotations

import re

from pad_ray.grading import canonical
from pad_ray.records import Message
from pad_ray.thoughts.files import prompt_text

MAX_TOKENS = 64
"""Limit on a reply: enough for an answer within a sentence, too little for a worked solution."""

_NUMBER = re.compile(
    r"(?<![\w.])[-+]?[$€£¥₹]?[-+]?(?:\d+\s+\d+\s*/\s*\d+"
    r"|(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+)?)\s?%?"
)
_TRUTH = re.compile(r"(?:yes|no|true|false)\b", re.IGNORECASE)
_CHOICE = re.compile(r"\([A-Za-z]\)")
_LEAD = re.compile(r"(?:the\s+)?(?:final\s+)?answer\s*(?:is\b|[:=])\s*", re.IGNORECASE)


def chat_messages(question: str) -> tuple[Message, ...]:
    """The chat in which a chat model is asked."""
    return (Message("system", prompt_text("direct_system")), Message("user", question))


def plain_prompt(question: str) -> str:
    """The text that any other model is asked to go on with."""
    return prompt_text("direct").replace("{question}", question)


def read_answer(reply: str, gold: str) -> str:
    """The answer a reply gives, or empty: its last number where the gold answer is a number, else its first line.

    Where the gold answer is a yes or no, or a lettered choice, the line is one if it begins with one.
    Of the gold answer nothing is used but its kind.
    """
    reply = reply.replace("−", "-").strip()
    kind = canonical.parse(gold)
    if isinstance(kind, canonical.Number):
        numbers = _NUMBER.findall(reply)
        return numbers[-1].strip() if numbers else ""
    first = _LEAD.sub("", reply.partition("\n")[0], count=1).strip()
    begun = None
    if isinstance(kind, canonical.Truth):
        begun = _TRUTH.match(first)
    elif _CHOICE.fullmatch(gold.strip()):
        begun = _CHOICE.match(first)
    return begun[0] if begun else first
