"""Programs to break: those of the packaged exemplars, and generated ones, all in the form in which they are taught."""

from __future__ import annotations

import ast

from hypothesis import strategies as st

from pad_ray.curate.canonical import canonicalise
from pad_ray.records import Example
from pad_ray.thoughts.exemplars import packaged_exemplars
from pad_ray.thoughts.program import student_prompt

EXEMPLARS = [canonicalise(one.program).program for one in packaged_exemplars("program")]
WEIGHED = {"name_error": 0.72, "unbound_local": 0.16, "syntax_error": 0.12}
OPERATORS = (*WEIGHED, "type_error", "zero_division", "wrong_value")

_NAMES = st.sampled_from(["a", "i", "boxes", "cost_per_box", "total", "hours_a_day", "sums", "x_", "is_more"])
_NUMBERS = st.one_of(st.integers(0, 2000), st.sampled_from([0.07, 0.5, 2.5]))


@st.composite
def programs(draw: st.DrawFn) -> str:
    """`solution()` with numbers in variables and sums of them, and some with a loop, a branch, a list or a helper."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=5, unique=True))
    lines = [f"{name} = {draw(_NUMBERS)}" for name in names]
    for name in draw(st.lists(_NAMES, max_size=3)):
        lines.append(f"{name} = {_sum(draw, names)}")
        names += [name] * (name not in names)
    lines += draw(
        st.lists(
            st.sampled_from(
                [
                    f"for step in range(3):\n    {names[0]} += step",
                    f"if {names[-1]} > 3:\n    {names[0]} = {names[-1]} * 2\nelse:\n    {names[0]} -= 1",
                    f"parts = [{names[0]}, 2]\n{names[-1]} = sum(parts) + len(f'{{parts[0]}}: 3')",
                    f"def double(value):\n    return value * 2\n{names[-1]} = double({names[0]})",
                    f"import math\n{names[-1]} = math.floor({names[0]} / 2)",
                ]
            ),
            max_size=2,
        )
    )
    body = "\n".join([*lines, f"result = {_sum(draw, names)}", "return result"])
    return ast.unparse(ast.parse("def solution():\n" + "".join(f"    {line}\n" for line in body.split("\n")))) + "\n"


def _sum(draw: st.DrawFn, names: list[str]) -> str:
    parts = draw(st.lists(st.one_of(st.sampled_from(names), _NUMBERS.map(str)), min_size=1, max_size=3))
    return "".join(f"{part} {draw(st.sampled_from(['+', '-', '*', '/', '//', '%']))} " for part in parts) + names[0]


def example(program: str, number: int = 0, round_: int = 0) -> Example:
    """What teaches a program that was verified, for problem `p<number>`."""
    return Example(
        f"p{number}#program.r{round_}.k0",
        "solve",
        "program",
        student_prompt(f"Question {number}?"),
        program,
        f"p{number}",
        "student" if round_ else "teacher",
        round_,
        "s",
    )
