"""Thought as a program: the student writes `solution()`, a sandbox runs it, its value is the answer (PaD, 2305.13888).

The student sees one plain form, the same in training and decoding.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from pad_ray.curate.canonical import canonicalise
from pad_ray.outcomes import Outcome
from pad_ray.records import Message
from pad_ray.sandbox.execution import Execution
from pad_ray.syntax import fingerprint
from pad_ray.thoughts.exemplars import Exemplar
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.protocol import Execute, Lesson, Parsed, Target

NAMES: tuple[str, str] = ("program", "programs")
"""What one is called, and several."""
CONCLUDED: str = "executed"
"""What becomes of it on the way to its value."""
ABOUT: str = "writing a Python program; a sandbox runs the program, and its value is the answer"
"""How a student of it answers."""
LINEWISE: bool = True
"""Its lines run one after the other."""
STOP: str = "Question:"
"""The student's form begins with it."""

_FENCE = re.compile(r"```[ \t]*(\w*)[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.DOTALL)
_CODE_START = re.compile(
    r"^(?:def \w|import \w|from \w[\w.]* import |[A-Za-z_]\w*(?:, *[A-Za-z_]\w*)* *=[^=])", re.MULTILINE
)
_CODE_INSIDE = re.compile(r"^[ \t]+(?:return\b|[A-Za-z_]\w* *=[^=])", re.MULTILINE)


def teacher_messages(question: str, context: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
    """The chat a teacher is asked with: instruction, exemplars, question.

    Without a context there is one short exemplar (written for pad_ray, from no data set).
    """
    shown = [(f"Q: {one.question}", f"```python\n{one.program}\n```") for one in context]
    shown = shown or [(prompt_text("exemplar_question"), prompt_text("exemplar_program"))]
    turns = [turn for asked, written in shown for turn in (Message("user", asked), Message("assistant", written))]
    return (Message("system", prompt_text("teacher_system")), *turns, Message("user", f"Q: {question}"))


def student_prompt(question: str) -> str:
    """What the student reads before it writes a program; the completion is the program and nothing else."""
    return prompt_text("student").replace("{question}", question)


def chat_messages(question: str) -> tuple[Message, ...]:
    """The chat in which an untrained chat model is asked for a program."""
    return (Message("system", prompt_text("teacher_system")), Message("user", question))


def repair_prompt(question: str, program: str, error: str) -> str:
    """What the student reads before it repairs a program that failed with the interpreter's message (PaD, 3.3)."""
    # One pass, so that braces in a question or a program are never taken for a slot.
    slots = {"{question}": question, "{program}": program.rstrip(), "{error}": error}
    return re.sub(r"\{(?:question|program|error)\}", lambda slot: slots[slot.group()], prompt_text("repair"))


def parse(reply: str, finish_reason: str = "stop") -> Parsed:
    """The program in a reply: its last fenced block of code, or else the bare text from its first line of code on.

    A reply cut at its token limit is `truncated`; one without any code is `refused`.
    """
    program = _extract(reply).strip("\r\n").rstrip()
    if finish_reason == "length":
        return Parsed(program and program + "\n", Outcome.TRUNCATED)
    return Parsed(program + "\n", None) if program else Parsed("", Outcome.REFUSED)


def conclude(execute: Execute, texts: Sequence[str]) -> list[Execution]:
    """What became of each program: it is executed as it is."""
    return execute(texts)


def target(text: str, entry: str = "") -> Target:
    """The program as `solution()` without arguments (see `pad_ray.curate.canonical`)."""
    return Target(*canonicalise(text, entry))


def lessons(question: str, text: str) -> list[Lesson]:
    """The program as it is, after its question."""
    return [Lesson("solve", student_prompt(question), text)]


def mark(text: str) -> str:
    """Equal for programs with the same syntax tree; what has none is only like itself."""
    try:
        return fingerprint(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text.strip()


def unfit(text: str) -> str:
    """Why a program cannot be an exemplar, or empty: a teacher imitates what it is shown."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError) as error:
        return f"the program is not Python ({error})"
    defines = any(isinstance(node, ast.FunctionDef) and node.name == "solution" for node in body)
    return "" if defines else "the program defines no function solution()"


def _extract(reply: str) -> str:
    blocks = _FENCE.findall(reply)
    for is_it in (_defines, _has_code, _says_python):
        for label, block in reversed(blocks):
            if is_it(label, block):
                return block
    if blocks:
        return ""
    if start := _CODE_START.search(reply):
        return reply[start.start() :]
    # A first line too broken to be recognised, but a body: a syntax error worth having, not a refusal.
    return reply if _CODE_INSIDE.search(reply) else ""


def _defines(_: str, block: str) -> bool:
    return re.search(r"^def \w", block, re.MULTILINE) is not None


def _has_code(_: str, block: str) -> bool:
    return _CODE_START.search(block) is not None


def _says_python(label: str, _: str) -> bool:
    return label.lower() in ("python", "python3", "py")
