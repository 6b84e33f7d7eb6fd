"""Thought as a dialogue with oneself: sub-questions, each answered with what was found before (2212.00193).

The text is the whole dialogue, `1) sub-question`, below it `its answer ## value`, and so on; the last value is the
answer. Nothing is executed. It is taught in parts: to ask the sub-questions of a problem, and to answer each of them
given the answers before it. A student does the same when it is asked (see `pad_ray.decode.socratic`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pad_ray.outcomes import Outcome
from pad_ray.records import Message, Step
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import chain
from pad_ray.thoughts.exemplars import Exemplar
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.protocol import Execute, Lesson, Parsed, RepairForm, Target

NAMES: tuple[str, str] = ("dialogue", "dialogues")
"""What one is called, and several."""
CONCLUDED: str = "read"
"""What becomes of it on the way to its value."""
ABOUT: str = "asking itself sub-questions and answering them one after the other; the last answer is the answer"
"""How a student of it answers."""
LINEWISE: bool = False
"""Nothing runs."""
STOP: str = "Problem:"
"""The student's form begins with it."""
repair_prompt: RepairForm | None = None
"""Nobody says of a dialogue what is wrong with it."""
VALUE = "##"
"""What stands before the value of an answer."""

_ASKED = re.compile(r"^[ \t]*(?:Q[ \t]*)?(\d+)[ \t]*(?:\)|[.:](?!\d))[ \t]*(\S[^\n]*)$", re.MULTILINE)
"""A numbered line; 2.5 and 2:30 at the beginning of an answer number nothing."""
_VALUES = re.compile(r"#{2,}")
_LABEL = re.compile(r"\AA[ \t]*\d+[ \t]*:")
_NEXT = re.compile(rf"^{STOP}.*", re.MULTILINE | re.DOTALL)
_PROBLEM, _QUESTIONS = prompt_text("decompose").split("{question}")


def teacher_messages(question: str, context: Sequence[Exemplar] = (), facts: Sequence[str] = ()) -> tuple[Message, ...]:
    """The chat a teacher is asked with: instruction, exemplars, question; without a context one short exemplar.

    `facts` are what is known about the problem, for its answers to be based on. A student never reads them.
    """
    shown = [(f"Q: {one.question}", one.program) for one in context]
    shown = shown or [(prompt_text("exemplar_question"), prompt_text("exemplar_socratic"))]
    turns = [turn for asked, written in shown for turn in (Message("user", asked), Message("assistant", written))]
    asked = f"Q: {question}"
    if facts:
        slots = {"facts": "".join(f"- {' '.join(fact.split())}\n" for fact in facts).rstrip(), "question": question}
        asked = re.sub(r"\{(facts|question)\}", lambda slot: slots[slot[1]], prompt_text("socratic_facts"))
    return (Message("system", prompt_text("socratic_system")), *turns, Message("user", asked))


def chat_messages(question: str) -> tuple[Message, ...]:
    """The chat in which an untrained chat model is asked for a whole dialogue."""
    return (Message("system", prompt_text("socratic_system")), Message("user", question))


def student_prompt(question: str) -> str:
    """What the student reads before it asks its sub-questions."""
    return f"{_PROBLEM}{question}{_QUESTIONS}"


def answer_prompt(question: str, before: Sequence[Step], asked: str) -> str:
    """What the student reads before it answers a sub-question: the problem, and all that was answered before."""
    earlier = "".join(f"Q{number}: {one.question}\nA{number}: {one.answer}\n" for number, one in enumerate(before, 1))
    slots = {"question": question, "earlier": earlier, "number": str(len(before) + 1), "asked": asked}
    # One pass, so that braces in a question are never taken for a slot.
    return re.sub(r"\{(question|earlier|number|asked)\}", lambda slot: slots[slot[1]], prompt_text("answer"))


def question_of(prompt: str) -> str | None:
    """The question of a prompt that asks for sub-questions, or None for any other prompt."""
    if not (prompt.startswith(_PROBLEM) and prompt.endswith(_QUESTIONS)):
        return None
    return prompt.removeprefix(_PROBLEM).removesuffix(_QUESTIONS)


def sub_questions(text: str) -> list[str]:
    """The sub-questions in a text, in their order: the numbered lines 1, 2, 3…"""
    return [found[2].strip() for found in _numbered(text)]


def parse(reply: str, finish_reason: str = "stop") -> Parsed:
    """The dialogue in a reply, from its first sub-question to the line of its last value.

    Without a sub-question it is `refused`, with one that has no value `no_answer`, cut at its limit `truncated`.
    """
    whole = _NEXT.sub("", chain.own_words(reply, STOP))
    start = next((found.start() for found in _numbered(whole)), None)
    text = "" if start is None else whole[start:].strip() + "\n"
    if finish_reason == "length":
        return Parsed(text, Outcome.TRUNCATED)
    if not text:
        return Parsed("", Outcome.REFUSED)
    return Parsed(text, None if all(map(value, pairs(text))) else Outcome.NO_ANSWER)


def conclude(execute: Execute, texts: Sequence[str]) -> list[Execution]:
    """The value of the last sub-question of each dialogue; it is read, and `execute` is not called."""
    values = [value(found[-1]) if (found := pairs(text)) else "" for text in texts]
    return [Execution(Outcome.OK, one) if one else Execution(Outcome.NO_ANSWER) for one in values]


def target(text: str, entry: str = "") -> Target:
    """The dialogue with every answer on one line.

    There is none where a sub-question has no value (`step_without_value`) or more answers than one (`several_answers`),
    or where a calculation comes to something else when it is done again (`wrong_arithmetic`).
    """
    found = pairs(text)
    if not found or not all(map(value, found)):
        return Target("", "step_without_value")
    if any(len(_VALUES.findall(one.answer)) > 1 for one in found):
        return Target("", "several_answers")
    if any(chain.checked(one.answer).wrong for one in found):
        return Target("", "wrong_arithmetic")
    return Target(render(found), "")


def mark(text: str) -> str:
    """Equal for dialogues of the same sub-questions."""
    return "\n".join(" ".join(one.split()).casefold() for one in sub_questions(text)) or text.strip()


def unfit(text: str) -> str:
    """Why a dialogue cannot be an exemplar, or empty."""
    why = target(text).reason
    if why == "wrong_arithmetic":
        return "a calculation in the dialogue does not hold"
    return f"not every sub-question is followed by one answer with `{VALUE} value`" if why else ""


def lessons(question: str, text: str) -> list[Lesson]:
    """To ask all sub-questions, and to answer each of them."""
    found = pairs(text)
    asking = "".join(f"{number}) {one.question}\n" for number, one in enumerate(found, 1))
    answering = [
        Lesson("answer", answer_prompt(question, found[:place], one.question), f"{one.answer}\n")
        for place, one in enumerate(found)
    ]
    return [Lesson("decompose", student_prompt(question), asking), *answering]


def render(steps: Sequence[Step]) -> str:
    """A dialogue of these sub-questions and answers, `prose ## value`.

    An answer that would pass for a sub-question (`2. ## 2`) gets a label before it, which `pairs` takes off again.
    """
    return "".join(f"{number}) {one.question}\n{_told(number, one.answer)}\n" for number, one in enumerate(steps, 1))


def pairs(text: str) -> list[Step]:
    """The sub-questions of a dialogue, each with its answer on one line."""
    found = _numbered(text)
    ends = [one.start() for one in found[1:]] + [len(text)] * bool(found)
    return [
        Step(" ".join(one[2].split()), " ".join(_LABEL.sub("", text[one.end() : end].strip()).split()))
        for one, end in zip(found, ends, strict=True)
    ]


def value(step: Step) -> str:
    """The value of an answer, or empty."""
    _, sign, said = step.answer.rpartition(VALUE)
    return chain.answer(f"{chain.FINAL} {said}") if sign else ""


def _told(number: int, answer: str) -> str:
    return f"A{number}: {answer}" if _ASKED.match(answer) else answer


def _numbered(text: str) -> list[re.Match[str]]:
    """The lines that begin with 1, 2, 3… in this order; other numbered lines are part of an answer."""
    found: list[re.Match[str]] = []
    for one in _ASKED.finditer(text):
        if int(one[1][:9]) == len(found) + 1:
            found.append(one)
    return found
