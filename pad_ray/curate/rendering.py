"""One worked solution in every form of reasoning, so that a study of forms compares nothing but the form.

The source is GSM8K's (2110.14168): steps with calculator marks (`<<48/2=24>>`), in its Socratic form each behind the
sub-question that it answers. Of the same calculations a chain keeps the prose, a program makes a line each, a system
an equation each. Items of a template (coin flips, last letters) bring their own program. A rendering counts only if it
comes to the gold answer by the judge of its form.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from pad_ray.curate.naming import step_name
from pad_ray.grading.compare import Comparison, compare
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.problems.templates import worked_program
from pad_ray.records import Problem, Step
from pad_ray.thoughts import THOUGHTS, arithmetic, chain, equation, socratic
from pad_ray.thoughts.protocol import Execute

FORMS = {
    "chain": "chain",
    "plain_chain": "chain",
    "program": "program",
    "commented": "program",
    "equation": "equation",
    "socratic": "socratic",
}
"""The forms, with the thought that judges each: `plain_chain` is the chain without its calculator marks, `commented`
the program with the sub-question of each line above it."""
AT_ONCE = 256
"""Problems whose renderings are judged together."""

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|\.\d+")


@dataclass(frozen=True, slots=True)
class Rendering:
    """One problem in the forms that come to its answer."""

    problem: Problem
    """The problem."""
    texts: dict[str, str] = field(default_factory=dict[str, str])
    """By form: what a student of it is to write."""
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    """By form: why there is none."""

    @property
    def whole(self) -> bool:
        """Whether every form is there, so that the problem may take part in a comparison."""
        return not self.reasons


class _Line(NamedTuple):
    """One calculation of a worked solution."""

    name: str
    """What its result is called."""
    calculation: ast.expr
    """What is calculated, with earlier results by name."""
    question: str
    """The sub-question that it answers; empty where there is none, and for later calculations of one step."""


class _Unusable(Exception):
    """A worked solution has no such form; the message is the reason, as it is counted."""


def rendered(problems: Iterable[Problem], execute: Execute) -> Iterator[Rendering]:
    """Every problem in all forms, in order; those that do not come to the gold answer are left out with a reason.

    Reasons: `no_marks`, `no_calculation`, `unreadable_mark`, `wrong_arithmetic` (a mark that does not hold),
    `ends_elsewhere` (the last result is not the answer), `other_value` (the calculations do not come to it when they
    are done again), `no_sub_question`, `step_without_value`, or the outcome of
    judging what was rendered.
    """
    waiting = iter(problems)
    while some := list(islice(waiting, AT_ONCE)):
        drawn = [drafts(problem) for problem in some]
        for form, thought in FORMS.items():
            texts = [(one, one.texts[form]) for one in drawn if form in one.texts]
            ends = THOUGHTS[thought].conclude(execute, [text for _, text in texts])
            for (one, _), end in zip(texts, ends, strict=True):
                outcome = judge(end, one.problem.answer).outcome
                if outcome is not Outcome.CORRECT:
                    del one.texts[form]
                    one.reasons[form] = outcome.value
        yield from drawn


def counted(renderings: Iterable[Rendering]) -> dict[str, Counter[str]]:
    """By form: how many problems have it (`kept`), and how many have not, by reason; `whole` counts those with all."""
    found = {form: Counter[str]() for form in (*FORMS, "whole")}
    for one in renderings:
        for form in FORMS:
            found[form][one.reasons.get(form, "kept")] += 1
        found["whole"]["kept" if one.whole else "some_form_missing"] += 1
    return found


def drafts(problem: Problem) -> Rendering:
    """All forms of a problem before they are judged."""
    if program := worked_program(problem):
        return _of_template(problem, program)
    steps, texts, reasons = _steps(problem), dict[str, str](), dict[str, str]()
    try:
        texts["chain"] = _chain(problem, steps)
        texts["plain_chain"] = chain.without_marks(texts["chain"])
    except _Unusable as unusable:
        reasons |= dict.fromkeys(("chain", "plain_chain"), str(unusable))
    try:
        lines = _lines(problem, steps)
        texts["program"], texts["equation"] = _program(lines), _system(lines)
        if all(step.question.strip() for step in steps):
            texts["commented"] = _program(lines, commented=True)
        else:
            reasons["commented"] = "no_sub_question"
    except _Unusable as unusable:
        reasons |= dict.fromkeys(("program", "commented", "equation"), str(unusable))
    try:
        texts["socratic"] = _dialogue(problem, steps)
    except _Unusable as unusable:
        reasons["socratic"] = str(unusable)
    return Rendering(problem, texts, reasons)


def _of_template(problem: Problem, program: str) -> Rendering:
    """Words without arithmetic: a chain and a program are all there can be."""
    prose = chain.render(problem.rationale.splitlines(), problem.answer)
    texts = {"program": program} | ({"chain": prose, "plain_chain": prose} if problem.rationale else {})
    reasons = dict.fromkeys(("chain", "plain_chain", "commented", "equation", "socratic"), "no_marks")
    return Rendering(problem, texts, {form: why for form, why in reasons.items() if form not in texts})


def _chain(problem: Problem, steps: Sequence[Step]) -> str:
    text = chain.render([step.answer.strip() for step in steps if step.answer.strip()], problem.answer)
    if not chain.MARK.search(text):
        raise _Unusable("no_marks")
    if chain.checked(text).wrong:
        raise _Unusable("wrong_arithmetic")
    return text


def _steps(problem: Problem) -> Sequence[Step]:
    """The annotated steps, or else the lines of the worked solution as steps that answer no sub-question."""
    return problem.steps or [Step("", line) for line in problem.rationale.splitlines()]


def _lines(problem: Problem, steps: Sequence[Step]) -> list[_Line]:
    """A line for every calculation, in which an earlier result is called by its name."""
    written = (arithmetic.read(number) for number in _NUMBER.findall(problem.question))
    asked = {arithmetic.value(number) for number in written if number is not None}
    results = dict[str, Fraction]()  # what the author says each line comes to
    found = dict[str, Fraction]()  # what it does come to
    used = set[str]()
    lines = list[_Line]()
    for step in steps:
        for place, (calculation, said) in enumerate(_calculations(step)):
            tree, result = arithmetic.read(calculation), arithmetic.read(said)
            value = result and arithmetic.value(result)
            if tree is None or value is None or arithmetic.names(tree):
                raise _Unusable("unreadable_mark")
            name = step_name("" if place else step.question, len(lines) + 1, results)
            question = "" if place else " ".join(step.question.split())
            lines.append(_Line(name, _Linked(results, asked, used).visit(tree), question))
            again = arithmetic.value(lines[-1].calculation, found)
            if again is None:
                raise _Unusable("unreadable_mark")
            results[name], found[name] = value, again
    if not lines:
        raise _Unusable("no_calculation")
    if compare(str(results[lines[-1].name]), problem.answer) is not Comparison.EQUAL:
        raise _Unusable("ends_elsewhere")
    if compare(str(found[lines[-1].name]), problem.answer) is not Comparison.EQUAL:
        raise _Unusable("other_value")
    return lines


def _calculations(step: Step) -> list[tuple[str, str]]:
    """The marks of a step, or where none of them calculates (`8*3 = <<24=24>>24`), the sums in its prose that hold."""
    marked = chain.calculations(step.answer) if chain.MARK.search(step.answer) else []
    if any(_NUMBER.fullmatch(calculation.strip()) is None for calculation, _ in marked):
        return marked
    sums = chain.calculations(chain.without_marks(step.answer))
    return [one for one in sums if chain.holds(*one)] or marked


def _program(lines: Sequence[_Line], *, commented: bool = False) -> str:
    body = "".join(
        f"    # {line.question}\n" * bool(commented and line.question)
        + f"    {line.name} = {ast.unparse(line.calculation)}\n"
        for line in lines
    )
    return f"def solution():\n{body}    return {lines[-1].name}\n"


def _system(lines: Sequence[_Line]) -> str:
    sides = [(line.name, ast.unparse(line.calculation)) for line in lines]
    return equation.render([*sides, (equation.ASKED, lines[-1].name)])


def _dialogue(problem: Problem, steps: Sequence[Step]) -> str:
    if any(chain.checked(step.answer).wrong for step in steps):
        raise _Unusable("wrong_arithmetic")  # the marks, which are not written into it
    text, reason = socratic.target(socratic.render(_pairs(problem, steps)))
    if reason:
        raise _Unusable(reason)
    return text


def _pairs(problem: Problem, steps: Sequence[Step]) -> list[Step]:
    """Sub-questions with their answers; a step's value is its last result, or the one number that it speaks of."""
    pairs, value = list[Step](), ""
    for step in steps:
        said = [result for _, result in _calculations(step)]
        spoken = {number.replace(",", "") for number in _NUMBER.findall(step.answer)}
        if not step.question.strip():
            raise _Unusable("no_sub_question")
        if not said and len(spoken) != 1:
            raise _Unusable("step_without_value")
        value = said[-1].strip() if said else spoken.pop()
        pairs.append(Step(step.question.strip(), f"{chain.without_marks(step.answer).strip()} ## {value}"))
    if not pairs:
        raise _Unusable("no_sub_question")
    if compare(value, problem.answer) is not Comparison.EQUAL:
        raise _Unusable("ends_elsewhere")
    return pairs


class _Linked(ast.NodeTransformer):
    """Puts the names of earlier results where the author wrote their values.

    A number that the question states too is taken for the earlier result only once: before that result is used at all.
    """

    def __init__(self, results: dict[str, Fraction], asked: set[Fraction | None], used: set[str]) -> None:
        self._results, self._asked, self._used = results, asked, used

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        value = arithmetic.number(node)
        for name in reversed(self._results):
            if self._results[name] == value and (value not in self._asked or name not in self._used):
                self._used.add(name)
                return ast.Name(name, ast.Load())
        return node
