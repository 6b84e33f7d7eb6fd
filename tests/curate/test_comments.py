"""Comments of a program stand above the same statements when it is printed anew."""

from __future__ import annotations

import ast
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pad_ray.curate.comments import with_comments
from pad_ray.curate.select import candidates
from pad_ray.outcomes import Outcome
from pad_ray.records import Problem, Verdict
from pad_ray.syntax import fingerprint
from pad_ray.thoughts import THOUGHTS

OWN = (
    "def solution():\n"
    "    # How many eggs?\n"
    "    #   In all of them.\n"
    "    eggs=6*4  # behind code\n"
    "    if eggs>3:\n"
    "        # How many are sold?\n"
    "        eggs -= (1 +\n"
    "            # within a statement\n"
    "            2)\n"
    "    return eggs\n"
    "    # after all\n"
)
PRINTED = (
    "def solution():\n"
    "    # How many eggs?\n"
    "    # In all of them.\n"
    "    eggs = 6 * 4\n"
    "    if eggs > 3:\n"
    "        # How many are sold?\n"
    "        eggs -= 1 + 2\n"
    "    # within a statement\n"
    "    return eggs\n"
)


def test_comments_on_lines_of_their_own_are_kept_above_their_statement() -> None:
    assert with_comments(OWN, ast.unparse(ast.parse(OWN))) == PRINTED
    assert with_comments(PRINTED, ast.unparse(ast.parse(OWN))) == PRINTED


def test_another_program_gets_none_of_them() -> None:
    other = "def solution():\n    return 24\n"
    assert with_comments(OWN, other) == other
    assert with_comments("def solution(:\n", other) == other


def test_they_are_part_of_what_is_taught_only_where_that_is_wanted() -> None:
    judged = [(Problem("p", "Eggs?", "21"), Verdict("p#program.r0.k0", OWN, Outcome.CORRECT), "")]
    for comments, text in ((True, PRINTED), (False, ast.unparse(ast.parse(OWN)) + "\n")):
        [found] = candidates(THOUGHTS["program"], judged, {}, 4000, Counter(), comments=comments)
        assert found.program == text


@given(
    st.lists(st.sampled_from(["# a", "    # b", "x = 1", "y = (1,", "# c", "2)", "if x:", "    y = 2", "\\", "'''"]))
)
def test_whatever_stands_in_a_program_its_tree_stays(lines: list[str]) -> None:
    program = "".join(f"{line}\n" for line in lines)
    try:
        printed = ast.unparse(ast.parse(program))
    except SyntaxError:
        assert with_comments(program, "x = 1\n") == "x = 1\n"
        return
    assert fingerprint(with_comments(program, printed)) == fingerprint(program)
