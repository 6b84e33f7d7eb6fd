"""Equations: which texts are a system, and that a system counts only with one real value of what is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Execution, Sandbox
from pad_ray.thoughts import arithmetic, equation

ROLLS = "rolls_sold = 4 * 6\nrolls_left + 2 + rolls_sold = 36\nans = rolls_left\n"


Solve = Callable[[Sequence[str]], list[Execution]]


@pytest.fixture(scope="module")
def solved() -> Iterator[Solve]:
    with Sandbox(level="unsafe", timeout_s=10.0) as box:
        yield lambda texts: equation.conclude(box.run, texts)


@pytest.mark.parametrize(
    "reply",
    [
        ROLLS,
        f"```\n{ROLLS}```",
        f"Here is the system:\n```text\n{ROLLS}```\nSolve it!",
        f"Let us write it down.\n\n{ROLLS}\nSo there are 10 = rolls.",
        "% Let rolls_left be asked\n" + ROLLS.replace("36\n", "36  # at first\n"),
        ROLLS.replace("\n", "\r\n"),
    ],
)
def test_the_system_is_found_in_the_ways_teachers_write(reply: str) -> None:
    parsed = equation.parse(reply)
    assert parsed.outcome is None and equation.target(parsed.program).text == ROLLS


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("", Outcome.REFUSED),
        ("The answer is 10.", Outcome.REFUSED),
        ("x = 3\ny = x + 1\n", Outcome.NO_ANSWER),
        ("x = 3\nso x is three\nans = x", Outcome.SYNTAX_ERROR),
        ("x = 3 = y\nans = x", Outcome.SYNTAX_ERROR),
        ("x == 3\nans = x", Outcome.SYNTAX_ERROR),
        ("x >= 3\nans = x", Outcome.SYNTAX_ERROR),
        ("x = sqrt(4)\nans = x", Outcome.SYNTAX_ERROR),
        ("x = __import__('os')\nans = x", Outcome.SYNTAX_ERROR),
        ("x = \nans = x", Outcome.SYNTAX_ERROR),
        ("x = 1\n" * 40 + "ans = x", Outcome.SYNTAX_ERROR),
    ],
)
def test_what_is_no_system_is_told_apart(reply: str, outcome: Outcome) -> None:
    assert equation.parse(reply).outcome is outcome


def test_a_system_cut_at_its_limit_counts_only_with_its_last_line_whole() -> None:
    assert equation.parse("x = 12\nans = x", "length").outcome is Outcome.TRUNCATED
    assert equation.parse("x = 12\ny", "length").outcome is Outcome.TRUNCATED
    assert equation.parse("x = 12\nans = x\n", "length").outcome is None


def test_only_one_real_value_of_what_is_asked_is_an_answer(solved: Solve) -> None:
    cases = {
        ROLLS: "10",
        "2x + 3 = 7\nans = x": "2",
        "x = 3\ny = 4\nans = x / y": "3/4",
        "0.1 + 0.2 = x\nans = x": "3/10",
        "x + y = 20\nx - y = 4\nans = x": "12",
        # The others need not be known.
        "x = 5\ny + z = 3\nans = x": "5",
        "x ** 3 = 8\nans = x": "2",
        "x ** 2 = 2\nans = x ** 2": "2",
        "x ** 2 = 9\nans = x": "several solutions",
        "x = 1\nx = 2\nans = x": "no solution found",
        "1 = 2\nans = 3": "no solution found",
        "x ** 2 = -1\nans = x": "no solution found",
        "x = 1 / 0\nans = x": "no solution found",
        "x + y = 2\nans = x": "not determined",
        "ans = ans": "not determined",
    }
    found = solved([*cases])
    assert [one.value or one.detail for one in found] == [*cases.values()]
    assert [one.outcome for one in found] == [
        Outcome.NO_ANSWER if text in equation.UNSOLVED else Outcome.OK for text in cases.values()
    ]
    assert judge(found[0], "10").outcome is Outcome.CORRECT and judge(found[0], "11").outcome is Outcome.WRONG_ANSWER


def test_of_the_authors_text_only_arithmetic_reaches_the_sandbox() -> None:
    program = equation.solver_program("sympy = 4\nnumber = sympy + 0.5\nans = number\n")
    assert "unknowns[0]) - (number('4'))" in program and "number('1/2')" in program
    assert program.count("sympy") == equation.solver_program("x = 4\nans = x\n").count("sympy")


def test_comments_and_spaces_make_no_difference_to_what_is_taught() -> None:
    assert equation.mark("% three\nx=3 # or so\n\nans=x") == equation.mark("x = 3\nans = x\n") == "x = 3\nans = x\n"
    assert equation.mark("x = 3\nans = x") != equation.mark("x = 4\nans = x")
    assert equation.target("x = 3\n").reason == "no_final_answer"
    assert equation.target("x = = 3\n").reason == "unparseable"


def test_a_percent_sign_behind_a_number_is_no_comment() -> None:
    spellings = ("x = 20%\nans = 5 * x", "x = 20 %\nans = 5 * x", "x = 20 % \nans = 5 * x\n")
    assert {equation.target(one).text for one in spellings} == {"x = 20 / 100\nans = 5 * x\n"}


@pytest.mark.parametrize("right", ["5 % 3", "20 % of 50", "a % b", "20 % discount"])
def test_a_percent_sign_within_a_line_never_hides_what_follows(right: str) -> None:
    assert equation.parse(f"a = 7\nb = 2\nx = {right}\nans = x\n").outcome is Outcome.SYNTAX_ERROR


def test_a_list_of_equations_is_no_list_of_signs() -> None:
    assert equation.parse("- x = 5\n- ans = x\n").program == "x = 5\nans = x\n"
    assert equation.parse("- x = 5\nans = x\n").program == "- x = 5\nans = x\n"


def test_an_x_within_a_name_does_not_multiply() -> None:
    system = "boards_2x4 = 5\nboards_2x6 = 3\nans = boards_2x4 + 2x3 x boards_2x6"
    assert equation.read("boards_2x4 = 5\nans = 2x3x4 + boards_2x4") is not None
    text = "boards_2x4 = 5\nboards_2x6 = 3\nans = boards_2x4 + boards_2x6\n"
    assert equation.target(text).text == text and equation.read(system) is None


names = st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda name: arithmetic.read(name) is not None)
values = st.integers(0, 500) | st.decimals(0, 100, places=2)
chains = st.lists(
    st.tuples(names, values, st.sampled_from("+-*")), min_size=1, max_size=5, unique_by=lambda one: one[0]
)


def straight(rows: list[tuple[str, object, str]]) -> tuple[str, Fraction]:
    """A system in which every line says the next quantity, and what its last one comes to."""
    sides, last, before = list[tuple[str, str]](), Fraction(1), "1"
    for name, number, sign in rows:
        sides.append((name, f"{before} {sign} {number}"))
        known = {
            "+": last + Fraction(str(number)),
            "-": last - Fraction(str(number)),
            "*": last * Fraction(str(number)),
        }
        last, before = known[sign], name
    return equation.render([*sides, ("ans", before)]), last


@settings(max_examples=3)
@given(st.lists(chains.filter(lambda rows: all(row[0] != "ans" for row in rows)), min_size=4, max_size=4))
def test_what_is_rendered_is_read_back_and_solved(solved: Solve, systems: list[list[tuple[str, object, str]]]) -> None:
    rendered = [straight(rows) for rows in systems]
    for text, _ in rendered:
        parsed = equation.parse(text)
        assert parsed.outcome is None and parsed.program == text
        taught = equation.target(text)
        assert taught.reason == "" and equation.target(taught.text) == taught
    for execution, (_, gold) in zip(solved([text for text, _ in rendered]), rendered, strict=True):
        assert judge(execution, str(gold)).outcome is Outcome.CORRECT


@given(
    st.text()
    | st.lists(st.sampled_from(["ans", "x", " = ", "3", "+", "(", ")", "\n", "```", "%", "/", "2x", "**"])).map("".join)
)
def test_any_text_is_parsed_without_an_error_and_what_passes_becomes_a_program(text: str) -> None:
    for reason in ("stop", "length"):
        parsed = equation.parse(text, reason)
        if parsed.outcome is None:
            assert equation.target(parsed.program).reason == ""
            compile(equation.solver_program(parsed.program), "<solver>", "exec")
    equation.mark(text)
