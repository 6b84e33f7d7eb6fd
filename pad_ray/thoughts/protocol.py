"""What a form of reasoning must offer, so that the rest of pad_ray needs to know nothing else of it.

A reply becomes a text (`parse`), the text comes to a value (`conclude`), and where the value is right the text becomes
what is taught (`target`). The forms are modules; whether each of them offers all this, the type checker says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pad_ray.outcomes import Outcome
from pad_ray.records import Message
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts.exemplars import Exemplar

Execute = Callable[[Sequence[str]], list[Execution]]
"""Runs programs; what became of each, in order."""
RepairForm = Callable[[str, str, str], str]
"""From question, failed text and message to what the student reads before it mends the text."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply holds."""

    program: str
    """The text that leads to the answer (a program, a chain, equations), or empty."""
    outcome: Outcome | None
    """Why it cannot lead to one, or None if it can."""


class Target(NamedTuple):
    """The form in which a text is taught, or the reason why there is none."""

    text: str
    """The text, ending in a newline, or empty."""
    reason: str
    """Empty, or the name by which what is left out is counted."""


class Lesson(NamedTuple):
    """One thing that a student is taught."""

    task: str
    """`solve`, or where a text is taught in parts, `decompose` or `answer`."""
    prompt: str
    """What it reads."""
    completion: str
    """What it must write."""


class Thought(Protocol):
    """One form of reasoning: a module of this package."""

    NAMES: tuple[str, str]
    """What one text of this form is called, and several."""
    CONCLUDED: str
    """What becomes of a text on the way to its value: it is `executed`, `read`, `solved`."""
    ABOUT: str
    """How a student of this form answers, as what follows `answers a question by`."""
    LINEWISE: bool
    """Whether its lines run one after the other, so that what is written so far can be executed."""
    STOP: str
    """Where a model that was never trained on this form begins a question of its own, so that its reply is over."""

    @property
    def repair_prompt(self) -> RepairForm | None:
        """What the student reads before it mends a text that came to nothing; None: this form has no repairs."""
        ...

    def teacher_messages(self, question: str, context: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
        """The chat a teacher is asked with: instruction, exemplars, question."""
        ...

    def chat_messages(self, question: str) -> tuple[Message, ...]:
        """The chat in which an untrained chat model is asked."""
        ...

    def student_prompt(self, question: str) -> str:
        """What the student reads, the same in training and decoding."""
        ...

    def parse(self, reply: str, finish_reason: str = "stop") -> Parsed:
        """The text in a reply. Never raises, whatever the reply is."""
        ...

    def conclude(self, execute: Execute, texts: Sequence[str]) -> list[Execution]:
        """What each text comes to, in order: executed or read. Only texts that `parse` let pass come here.

        `execute` gets one program for each text, in the same order, or is not called. Of the gold answer nothing is
        known here.
        """
        ...

    def target(self, text: str, entry: str = "") -> Target:
        """The form in which a text is taught; `entry` is where a recorded program says its answer is."""
        ...

    def lessons(self, question: str, text: str) -> list[Lesson]:
        """What is taught of a text in that form."""
        ...

    def mark(self, text: str) -> str:
        """Equal for texts that teach the same. Never raises."""
        ...

    def unfit(self, text: str) -> str:
        """Why a text cannot be an exemplar that a teacher imitates, or empty."""
        ...
