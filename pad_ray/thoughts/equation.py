"""Thought as a system of equations: the student writes what holds, SymPy finds the unknown (EoTD, 2401.11864).

One equation a line over names of the author's choice; the last line `ans = …` says what is asked. The system is solved
in the sandbox, and counts only if exactly one real value of `ans` satisfies it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from pad_ray.outcomes import Outcome
from pad_ray.records import Message
from pad_ray.sandbox.execution import Execution
from pad_ray.thoughts import arithmetic
from pad_ray.thoughts.exemplars import Exemplar
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.protocol import Execute, Lesson, Parsed, RepairForm, Target

NAMES: tuple[str, str] = ("system of equations", "systems of equations")
"""What one is called, and several."""
CONCLUDED: str = "solved"
"""What becomes of it on the way to its value."""
ABOUT: str = "writing a system of equations; SymPy solves it in a sandbox, and the one value it finds is the answer"
"""How a student of it answers."""
LINEWISE: bool = False
"""A system is solved as a whole."""
STOP: str = "Question:"
"""The student's form begins with it."""
repair_prompt: RepairForm | None = None
"""What a solver can say of a system is too little to mend it by."""
ASKED = "ans"
"""The unknown that is asked for."""
MAX_EQUATIONS = 32
UNSOLVED = ("no solution found", "several solutions", "not determined")
"""What the solver says where there is not exactly one value."""

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.DOTALL)
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*|\A\s*%.*")
"""As in Python; as in TeX at the beginning of a line only, for within it a percent sign may be one, or mean modulo."""
_BULLET = "- "
_NEAR = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)(?![eE][-+]?\d)(?=[A-Za-z_(])")
"""A number right before a name or a bracket: 2x is 2 * x, and 2e5 stays a number."""
_NAME_LENGTH = 64
_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}


class Equation(NamedTuple):
    """One line."""

    left: ast.expr
    """What stands before the sign."""
    right: ast.expr
    """What stands behind it."""


def teacher_messages(question: str, context: Sequence[Exemplar] = ()) -> tuple[Message, ...]:
    """The chat a teacher is asked with: instruction, exemplars, question; without a context one short exemplar."""
    shown = [(f"Q: {one.question}", one.program) for one in context]
    shown = shown or [(prompt_text("exemplar_question"), prompt_text("exemplar_equation"))]
    turns = [turn for asked, written in shown for turn in (Message("user", asked), Message("assistant", written))]
    return (Message("system", prompt_text("equation_system")), *turns, Message("user", f"Q: {question}"))


def chat_messages(question: str) -> tuple[Message, ...]:
    """The chat in which an untrained chat model is asked for equations."""
    return (Message("system", prompt_text("equation_system")), Message("user", question))


def student_prompt(question: str) -> str:
    """What the student reads before it writes equations."""
    return prompt_text("equation").replace("{question}", question)


def parse(reply: str, finish_reason: str = "stop") -> Parsed:
    """The equations in a reply: its last fenced block or the bare text, from the first line with `=` to `ans = …`.

    Words before are let pass. Without any equation it is `refused`; with a line among them that is none, a
    `syntax_error`; without `ans`, `no_answer`; cut at its limit before the line of `ans` was whole, `truncated`.
    """
    blocks: list[str] = _FENCE.findall(reply)
    lines = [_COMMENT.sub("", line).strip() for line in (blocks[-1] if blocks else reply).splitlines()]
    first = next((place for place, line in enumerate(lines) if "=" in line), len(lines))
    lines = [line for line in lines[first:] if line]
    if len(lines) > 1 and all(line.startswith(_BULLET) for line in lines):
        lines = [line.removeprefix(_BULLET).strip() for line in lines]  # a list, not signs
    asking = next((place for place, line in enumerate(lines) if _asks(line)), None)
    text = "".join(f"{line}\n" for line in (lines if asking is None else lines[: asking + 1]))
    whole = asking is not None and (asking + 1 < len(lines) or reply.endswith(("\n", "```")))
    if finish_reason == "length" and not whole:
        return Parsed(text, Outcome.TRUNCATED)
    if not text:
        return Parsed("", Outcome.REFUSED)
    if read(text) is None:
        return Parsed(text, Outcome.SYNTAX_ERROR)
    return Parsed(text, None if asking is not None else Outcome.NO_ANSWER)


def conclude(execute: Execute, texts: Sequence[str]) -> list[Execution]:
    """What SymPy finds for `ans` in each system; `no_answer`, with the solver's words, where that is not one value."""
    return [_judged(execution) for execution in execute([solver_program(text) for text in texts])]


def target(text: str, entry: str = "") -> Target:
    """The equations in one spelling, without comments."""
    system = read(text)
    if system is None:
        return Target("", "unparseable")
    if not system or ASKED not in arithmetic.names(system[-1].left):
        return Target("", "no_final_answer")
    return Target(render([(ast.unparse(left), ast.unparse(right)) for left, right in system]), "")


def lessons(question: str, text: str) -> list[Lesson]:
    """The system as it is, after its question."""
    return [Lesson("solve", student_prompt(question), text)]


def mark(text: str) -> str:
    """Equal for systems of the same equations in the same order, however they are spaced."""
    return target(text).text or text.strip()


def unfit(text: str) -> str:
    """Why a system cannot be an exemplar, or empty."""
    parsed = parse(text)
    if parsed.outcome is not None:
        return f"it is no system of equations that ends in `{ASKED} = …` ({parsed.outcome.meaning})"
    return "" if parsed.program.count("\n") == len(read(text) or ()) else f"lines follow the one of `{ASKED} = …`"


def render(sides: Sequence[tuple[str, str]]) -> str:
    """A system as text; the last equation is to be that of `ans`."""
    return "".join(f"{left} = {right}\n" for left, right in sides)


def read(text: str) -> list[Equation] | None:
    """The equations of a system, or None where one line is none or there are too many."""
    lines = [line for line in (_COMMENT.sub("", line).strip() for line in text.splitlines()) if line]
    system = [_equation(line) for line in lines]
    found = [one for one in system if one is not None]
    return found if len(found) == len(system) and len(found) <= MAX_EQUATIONS else None


def solver_program(text: str) -> str:
    """The program that solves a system in the sandbox.

    Of the author's text nothing gets into it but the structure of its arithmetic: names become numbered unknowns.
    """
    system = read(text) or []
    sides = [side for equation in system for side in equation]
    unknowns = list(dict.fromkeys(name for side in sides for name in arithmetic.names(side)))
    places = {name: f"unknowns[{place}]" for place, name in enumerate(unknowns)}
    differences = [f"({_spelled(left, places)}) - ({_spelled(right, places)})" for left, right in system]
    listed = "".join(f"        {difference},\n" for difference in differences)
    asked = places.get(ASKED, "sympy.Symbol('ans')")
    return (
        f"{_solver()}\n\ndef solution():\n"
        f"    number = sympy.Rational\n"
        f"    unknowns = sympy.symbols('u:{len(unknowns)}', real=True)\n"
        f"    differences = [\n{listed}    ]\n"
        f"    return asked_value(differences, unknowns, {asked})\n"
    )


def _judged(execution: Execution) -> Execution:
    if execution.outcome is Outcome.OK and execution.value in UNSOLVED:
        return Execution(Outcome.NO_ANSWER, "", execution.value, execution.seconds)
    return execution


def _asks(line: str) -> bool:
    left, sign, _ = line.partition("=")
    return bool(sign) and left.strip() == ASKED


def _equation(line: str) -> Equation | None:
    left, _, right = line.partition("=")
    if not right or "=" in right:
        return None
    sides = [arithmetic.read(_NEAR.sub(r"\1*", side)) for side in (left, right)]
    if sides[0] is None or sides[1] is None:
        return None
    long = any(len(name) > _NAME_LENGTH for side in sides if side for name in arithmetic.names(side))
    return None if long else Equation(sides[0], sides[1])


def _spelled(tree: ast.expr, places: dict[str, str]) -> str:
    """The expression in exact numbers and numbered unknowns."""
    if isinstance(tree, ast.Constant):
        return f"number('{arithmetic.number(tree)}')"
    if isinstance(tree, ast.Name):
        return places[tree.id]
    if isinstance(tree, ast.UnaryOp):
        return f"({'-' if isinstance(tree.op, ast.USub) else '+'}{_spelled(tree.operand, places)})"
    assert isinstance(tree, ast.BinOp)  # `arithmetic.read` lets nothing else pass
    return f"({_spelled(tree.left, places)} {_SIGNS[type(tree.op)]} {_spelled(tree.right, places)})"


@cache
def _solver() -> str:
    return (resources.files("pad_ray.thoughts") / "solver.py").read_text(encoding="utf-8")
