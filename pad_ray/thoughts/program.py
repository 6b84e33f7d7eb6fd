"""Thought as a program: the student writes `solution()`, a sandbox runs it, its value is the answer (PaD, 2305.13888).

Prompts are text files beside this module. The student sees one plain form, the same in training and decoding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from pad_ray.outcomes import Outcome
from pad_ray.records import Message

_FENCE = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)
_CODE_LINE = re.compile(
    r"^(?:def \w+\(|import \w|from \w[\w.]* import |[A-Za-z_]\w*(?:, *[A-Za-z_]\w*)* *=[^=])", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply holds."""

    program: str
    """The program text, or empty."""
    outcome: Outcome | None
    """Why it cannot be executed, or None if it can."""


def teacher_messages(question: str) -> tuple[Message, ...]:
    """The chat a teacher is asked with: instruction, one exemplar (written for pad_ray, from no data set), question."""
    return (
        Message("system", _prompt("teacher_system")),
        Message("user", _prompt("exemplar_question")),
        Message("assistant", _prompt("exemplar_program")),
        Message("user", f"Q: {question}"),
    )


def student_prompt(question: str) -> str:
    """What the student reads before it writes a program; the completion is the program and nothing else."""
    return _prompt("student").replace("{question}", question)


def repair_prompt(question: str, program: str, error: str) -> str:
    """What the student reads before it repairs a program that failed with the interpreter's message (PaD, section 3.3)."""
    # One pass, so that braces in a question or a program are never taken for a slot.
    slots = {"{question}": question, "{program}": program.rstrip(), "{error}": error}
    return re.sub(r"\{(?:question|program|error)\}", lambda slot: slots[slot.group()], _prompt("repair"))


def parse(reply: str, finish_reason: str = "stop") -> Parsed:
    """The program in a reply: the last fenced block that defines something, else the bare text if it looks like code.

    A reply cut at its token limit is `truncated`; one without any code is `refused`.
    """
    blocks = [block for block in _FENCE.findall(reply) if _CODE_LINE.search(block)]
    if blocks:
        program = blocks[-1]
    elif "```" not in reply and (start := _CODE_LINE.search(reply)):
        # Bare code; prose before the first line of code is dropped.
        program = reply[start.start() :]
    else:
        return Parsed("", Outcome.TRUNCATED if finish_reason == "length" else Outcome.REFUSED)
    program = program.strip("\r\n").rstrip() + "\n"
    return Parsed(program, Outcome.TRUNCATED if finish_reason == "length" else None)


@cache
def _prompt(name: str) -> str:
    return (resources.files("pad_ray.thoughts") / "prompts" / f"{name}.txt").read_text(encoding="utf-8")
