"""Thought as prose, step by step, with a last line `#### N`: the form of GSM8K (2110.14168) and of CoT fine-tuning.

Nothing is executed: the answer is read, and only its comparison with the gold answer says whether it is right. So a
chain may be right by a wrong path; `checked` estimates how often, by doing its arithmetic again. Calculator marks
(`48/2 = <<48/2=24>>24`) may stand in it or not, which is the author's choice: both are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from pad_ray.grading import canonical
from pad_ray.outcomes import Outcome
from pad_ray.records import Message
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import arithmetic
from pad_ray.thoughts.exemplars import Exemplar
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.protocol import Execute, Lesson, Parsed, RepairForm, Target

NAMES: tuple[str, str] = ("chain", "chains")
"""What one is called, and several."""
CONCLUDED: str = "read"
"""What becomes of it on the way to its value."""
ABOUT: str = "writing its steps in prose; the last line of them says the answer"
"""How a student of it answers."""
LINEWISE: bool = False
"""Nothing runs."""
STOP: str = "Question:"
"""The student's form begins with it."""
repair_prompt: RepairForm | None = None
"""Nobody says of a chain what is wrong with it."""
FINAL = "####"
"""What stands before the final answer."""
MARK = re.compile(r"<<([^<>\n]*)>>")
"""A calculator mark: `<<48/2=24>>`."""

_FINAL = re.compile(r"####(?P<answer>[^\n]*)")
# The other ways in which authors say that this is their answer: within a sentence, in a box, in a line of its own.
_SENTENCE = re.compile(r"\b(?:the|final) answer(?: is|:|=)+", re.IGNORECASE)
_NEW_SENTENCE = re.compile(r"\.\s+(?=[A-Z])")
_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,100}\}){0,200})\}")
_LINE = re.compile(r"^[ \t]*[*_]*(?:(?:final )?answer|A)[*_]*[ \t]*:([^\n]*)", re.IGNORECASE | re.MULTILINE)
_NEXT = re.compile(rf"^{STOP}.*", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(
    r"[-+−–]?\s?[$€£]?\s?[-+−–]?"
    r"(?:\d+\s+\d+\s?/\s?\d+"
    r"|(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s?/\s?\d+)?)(?:\s?%)?"
)
_PLACES = re.compile(r"\.(\d*)")
_CHOICE = re.compile(r"\([A-Za-z]\)(?=\s|\Z)|(?:yes|no|true|false)(?=\s*(?:[,;:!]|\Z)|\.(?!\s*\d))", re.IGNORECASE)
"""What is an answer whatever stands behind it: `(B) in May`, `Yes, it is`; but `No. 5` is a number's name."""
_LEAD = re.compile(
    r"\A(?:(?:the|final|answer|total|there|is|are|be|equals|so|thus|hence|therefore)\b[\s:,]*)+(?=[-+−–$€£]?\.?\d)",
    re.IGNORECASE,
)
_UNITS = (
    "hours?|hrs?|minutes?|mins?|seconds?|days?|weeks?|months?|years?|feet|foot|ft|yards?|miles?|pounds?|lbs?|dollars?"
)
_MORE = re.compile(
    r"\s*(?:or|to|and|[-–−x×*·^,])\s*[$€£]?\d|\s\d{3}(?!\d)|[:/.]\d|\s*[\^½¼¾⅐-⅞]"
    r"|\s?(?:hundred|thousand|million|billion|trillion)|k\b"
    rf"|\s?(?:{_UNITS}),?(?:\sand)?\s\d+\s?[a-z]",
    re.IGNORECASE,
)
"""Behind a number: a range, a time, a date, a power, more digits, a million, 30 minutes beside 2 hours.
The number alone is not what is meant."""
_DISPLAY = re.compile(r"\\[()\[\]]|\\(?=[$%])")
"""In LaTeX, the brackets of a formula, and what keeps a money or percent sign one."""
_FRACTION = re.compile(r"(?P<whole>\d\s*|)\\[dt]?frac\{(?P<top>\d{1,50})\}\{(?P<bottom>\d{1,50})\}")
_SPACES = re.compile(r"[ \t]+")
_TERM = r"[($]*\d[\d,.]*%?\)*"
_SIGN = "+*/x×÷−–·-"
_SUM = re.compile(
    # No sum begins within another one, nor at the fraction of 1 1/2 or of `1 and 1/2`.
    rf"(?<![\w.,:%$()^{_SIGN}])(?<![(^{_SIGN}]\s)(?<!\d )(?<!\d and )(?P<sum>{_TERM}(?:\s?[{_SIGN}]\s?{_TERM})+)\s?="
    # And what another sign follows is no result yet: 9 * 2 + 1 = 18 + 1 = 19. Nor is half of 18 000, or 9 in 9B.
    rf"\s*(?P<said>(?>-?\$?-?\d+(?:,\d{{3}})*(?:\.\d+)?))(?![\w:]|\s\d{{3}}(?!\d)|\s*[(%{_SIGN}])"
)
_UNCLEAR = re.compile(r"/[^/]*/|[-+−–]\s*\d[\d.,]*%")
"""In prose nobody knows whether 7.5 / 1/2 divides by a half, and of what the 20 in 100 - 20% are percent."""


class Checked(NamedTuple):
    """What doing a chain's arithmetic again has shown."""

    claims: int
    """Calculations that could be done again."""
    wrong: tuple[str, ...]
    """Those among them that come to something else, as they are written."""


def teacher_messages(question: str, context: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
    """The chat a teacher is asked with: instruction, exemplars, question; without a context one short exemplar."""
    shown = [(f"Q: {one.question}", one.program) for one in context]
    shown = shown or [(prompt_text("exemplar_question"), prompt_text("exemplar_chain"))]
    turns = [turn for asked, written in shown for turn in (Message("user", asked), Message("assistant", written))]
    return (Message("system", prompt_text("chain_system")), *turns, Message("user", f"Q: {question}"))


def chat_messages(question: str) -> tuple[Message, ...]:
    """The chat in which an untrained chat model is asked for a chain."""
    return (Message("system", prompt_text("chain_system")), Message("user", question))


def student_prompt(question: str) -> str:
    """What the student reads before it writes a chain."""
    return prompt_text("chain").replace("{question}", question)


def parse(reply: str, finish_reason: str = "stop") -> Parsed:
    """The chain in a reply, up to the line of its last `####`; without one, all of it.

    A chain that never says what its answer is has `no_answer`. One that was cut at its limit is `truncated`, unless the
    line with its answer was whole.
    """
    whole = _NEXT.sub("", own_words(reply, STOP)).lstrip()
    text, final = whole.strip(), _last(whole)
    if finish_reason == "length" and not (final and "\n" in whole[final.end() :]):
        return Parsed(text and text + "\n", Outcome.TRUNCATED)
    if not text:
        return Parsed("", Outcome.REFUSED)
    text = text[: final.end()].rstrip() if final else text
    return Parsed(text + "\n", None if answer(text) else Outcome.NO_ANSWER)


def conclude(execute: Execute, texts: Sequence[str]) -> list[Execution]:
    """The answer that each chain gives; it is read, and `execute` is not called."""
    answers = [answer(text) for text in texts]
    return [Execution(Outcome.OK, found) if found else Execution(Outcome.NO_ANSWER) for found in answers]


def target(text: str, entry: str = "") -> Target:
    """The chain without blank lines, and with its answer in a last line of its own."""
    found = answer(text)
    if not found:
        return Target("", "no_final_answer")
    lines = [line for line in (" ".join(line.split()) for line in _FINAL.sub(_words, text).splitlines()) if line]
    if lines and _LINE.fullmatch(lines[-1]):
        lines.pop()
    return Target(render(lines, found), "") if lines else Target("", "no_steps")


def lessons(question: str, text: str) -> list[Lesson]:
    """The chain as it is, after its question."""
    return [Lesson("solve", student_prompt(question), text)]


def own_words(reply: str, stop: str) -> str:
    """A reply without a first line that only repeats the question, which begins with what usually ends a reply."""
    reply = reply.lstrip()
    return reply.partition("\n")[2] if reply.startswith(stop) else reply


def mark(text: str) -> str:
    """Equal for chains of the same words; calculator marks and layout do not count."""
    return " ".join(without_marks(text).split()).casefold()


def unfit(text: str) -> str:
    """Why a chain cannot be an exemplar, or empty."""
    last = text.rstrip().rpartition("\n")[2]
    return "" if _FINAL.fullmatch(last) and answer(last) else f"the chain does not end in a line `{FINAL} answer`"


def render(lines: Sequence[str], final_answer: str) -> str:
    """A chain of these steps with this answer."""
    return "".join(f"{line}\n" for line in (*lines, f"{FINAL} {final_answer}"))


def without_marks(text: str) -> str:
    """The chain without calculator marks; what stands behind a mark is its result."""
    return MARK.sub("", text)


def answer(text: str) -> str:
    """The answer that a chain gives, or empty: behind its last `####`, else what it says last that its answer is."""
    if final := _last(text):
        return _alone(final["answer"])
    if said := [*_SENTENCE.finditer(text)]:
        return _alone(_NEW_SENTENCE.split(text[said[-1].end() :].partition("\n")[0], maxsplit=1)[0])
    for way in (_BOX, _LINE):
        if found := way.findall(text):
            return _alone(found[-1])
    return ""


def calculations(text: str) -> list[tuple[str, str]]:
    """What is calculated in a text and what it is said to come to: its calculator marks, else the sums in its prose."""
    marks: list[str] = MARK.findall(text)
    if marks:
        return [(calculation, said) for calculation, _, said in (mark.rpartition("=") for mark in marks)]
    sums = _SUM.finditer(_SPACES.sub(" ", text))
    return [(found["sum"], found["said"]) for found in sums if not _UNCLEAR.search(found["sum"])]


def holds(calculation: str, said: str) -> bool | None:
    """Whether a calculation comes to what is said, rounded or cut to the digits that are; None if nobody can tell."""
    tree, result = arithmetic.read(calculation), arithmetic.read(said)
    true, shown = (tree and arithmetic.value(tree)), (result and arithmetic.value(result))
    if true is None or shown is None:
        return None
    # Of a fraction no digit was left out, and a percent is a hundredth.
    places = _PLACES.search(said)
    unit = Fraction("/" not in said, 10 ** (len(places[1]) if places else 0)) / (100 if "%" in said else 1)
    rounded = abs(true - shown) <= unit / 2
    cut = 0 <= abs(true) - abs(shown) < unit and true * shown >= 0
    return rounded or cut or abs(true - shown) <= abs(true) / 10**6


def checked(text: str) -> Checked:
    """Do the arithmetic of a chain again: that of its calculator marks, or where there are none, that of its prose."""
    found = [(f"{one.strip()}={said.strip()}", holds(one, said)) for one, said in calculations(text)]
    known = [(claim, right) for claim, right in found if right is not None]
    return Checked(len(known), tuple(claim for claim, right in known if not right))


def _last(text: str) -> re.Match[str] | None:
    return next(reversed([*_FINAL.finditer(text)]), None)


def _alone(said: str) -> str:
    """The answer itself, of what stands behind the sign for it: a number loses the words around it."""
    said = _DISPLAY.sub("", _FRACTION.sub(_spelled, _BOX.sub(r"\1", without_marks(said))))
    said = _LEAD.sub("", said.strip().strip("*`_").rstrip(".").strip())
    if choice := _CHOICE.match(said):
        return choice[0]
    if "=" in said:
        return _alone(said.rpartition("=")[2])
    if not any(letter.isalnum() for letter in said):
        return ""
    value = canonical.parse(said)
    if isinstance(value, canonical.Text):
        # `7 eggs in 4 weeks` is 7, and of `5 or 6` nobody knows which one is meant.
        found = _NUMBER.match(said)
        if found and not _MORE.match(said, found.end()):
            return found[0].strip()
    return "" if isinstance(value, canonical.Unreadable) else said


def _spelled(fraction: re.Match[str]) -> str:
    return f"{fraction['whole'].strip()} {fraction['top']}/{fraction['bottom']}".lstrip()


def _words(final: re.Match[str]) -> str:
    """What stays of a `####` and its answer among the steps: words that it is part of."""
    before = final.string[: final.start()].rpartition("\n")[2]
    return final["answer"].strip() if before.strip() else ""
