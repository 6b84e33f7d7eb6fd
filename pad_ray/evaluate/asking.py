"""How a student is asked. A trained one in the form it learned; an untrained one in each of three ways.

The three are the baselines that distillation must beat, so each is asked as well as it can be: a chat model in a chat,
exemplars from verified programs that cover the sources of the problems.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pad_ray.recipe import Prompt
from pad_ray.records import Example, Message
from pad_ray.thoughts import direct, program
from pad_ray.thoughts.protocol import RepairForm, Thought
from pad_ray.thoughts.several import Forms, forms_of

if TYPE_CHECKING:
    from pad_ray.decode.student_engine import StudentEngine

EXEMPLARS = 4
"""Verified examples that a few-shot prompt shows."""
NEXT_QUESTION = "Question:"
"""Where a model that only continues a text goes on with a question of its own, its reply is over."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One way to ask."""

    prompt: Callable[[str], str]
    """From a question to all that the student reads."""
    stop: str = ""
    """Text that ends the reply, or empty."""
    repair: RepairForm | None = None
    """What the student reads before it mends a text that came to nothing; None: the form that the thought trains."""
    thoughts: Forms = program
    """The form of reasoning it is asked for, or the forms; several have prompts of their own."""


def asking(
    engine: StudentEngine,
    kind: Prompt,
    exemplars: Sequence[Example] = (),
    *,
    thoughts: Forms = program,
    trained: bool = False,
) -> Asking:
    """How to ask the student of an engine for these forms of reasoning; one that is `trained` as it was trained."""
    thought = forms_of(thoughts)[0]
    if kind == "few_shot":
        # The student's own form, after exemplars in the same form.
        shown = "".join(f"{one.prompt}{one.completion}\n" for one in exemplars)
        return Asking(lambda question: shown + thought.student_prompt(question), thought.STOP, thoughts=thought)
    if kind == "direct":
        if engine.chats:
            return Asking(lambda question: engine.chat(direct.chat_messages(question)))
        return Asking(direct.plain_prompt, NEXT_QUESTION)
    if engine.chats and not trained:
        return Asking(
            lambda question: engine.chat(thought.chat_messages(question)),
            repair=_repair_in_chat(engine, thought),
            thoughts=thought,
        )
    return Asking(thought.student_prompt, thoughts=thoughts)


def draw_exemplars(examples: Iterable[Example], seed: int) -> tuple[Example, ...]:
    """A few solved examples of different problems, from every source in turn; the same for the same seed."""
    by_problem: dict[str, Example] = {}
    for example in sorted(examples, key=lambda one: _rank(one, seed)):
        if example.task == "solve":
            by_problem.setdefault(example.problem_id, example)
    turns: list[tuple[int, Example]] = []
    drawn = Counter[str]()
    for example in by_problem.values():
        turns.append((drawn[example.source], example))
        drawn[example.source] += 1
    # The sort is stable: within a turn the drawing decides.
    return tuple(example for _, example in sorted(turns, key=lambda one: one[0])[:EXEMPLARS])


def _repair_in_chat(engine: StudentEngine, thought: Thought) -> RepairForm | None:
    """The chat in which an untrained chat model is asked to mend what failed."""
    form = thought.repair_prompt
    if form is None:
        return None

    def chat(question: str, failed: str, error: str) -> str:
        told = thought.chat_messages(question)[0]
        return engine.chat((told, Message("user", form(question, failed, error))))

    return chat


def _rank(example: Example, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{example.example_id}".encode()).hexdigest()
