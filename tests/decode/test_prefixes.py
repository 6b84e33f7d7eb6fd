"""Of an unfinished program exactly that is executed which no later line can change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.decode.prefixes import look

HEAD = "def solution():\n"


@pytest.mark.parametrize(
    ("program", "runnable"),
    [
        ("", ""),
        (HEAD, ""),
        (HEAD + "    a = 1\n", HEAD + "    a = 1\n"),
        (HEAD + "    a = 1\n    # half of it\n\n", HEAD + "    a = 1\n"),
        ("import math\n\n" + HEAD + "    a = math.pi\n", "import math\n\n" + HEAD + "    a = math.pi\n"),
        ("import math\n", "import math\n"),
        ("a = 1\nans = a + 1\n", "a = 1\nans = a + 1\n"),
    ],
)
def test_whole_statements_run_as_they_are(program: str, runnable: str) -> None:
    assert look(program).runnable == runnable
    assert not look(program).broken


@pytest.mark.parametrize(
    "rest",
    [
        "    total = (a +\n",
        "    names = [\n        'x',\n",
        '    text = """one\n',
        "    if a > 1:\n",
        "    if a > 1:\n        a = 2\n    else:\n",
        "    try:\n        a = 2\n",
        "    @staticmethod\n",
        "    total = a + \\\n",
    ],
)
def test_what_is_not_complete_yet_is_left_out_and_is_no_error(rest: str) -> None:
    found = look(HEAD + "    a = 1\n" + rest)
    assert (found.runnable, found.broken) == (HEAD + "    a = 1\n", False)


def test_a_block_that_may_still_grow_does_not_run_before_something_follows_it() -> None:
    # Without its next line, which counts up, this loop would run into the time limit.
    loop = HEAD + "    n = 0\n    while n < 3:\n        print(n)\n"
    assert look(loop).runnable == HEAD + "    n = 0\n"
    whole = loop + "        n += 1\n    m = n\n"
    assert look(whole).runnable == whole


def test_a_return_on_the_straight_path_is_the_end_and_one_in_a_branch_is_not() -> None:
    assert look(HEAD + "    return 7\n").returns
    branch = look(HEAD + "    a = 1\n    if a:\n        return 7\n    b = 2\n")
    assert branch.is_function and not branch.returns


def test_a_helper_being_written_behind_the_solution_does_not_run() -> None:
    solution = HEAD + "    return 7\n"
    assert look(solution + "\ndef helper():\n    return 1\n").runnable == solution
    assert look("def helper():\n    return 1\n").runnable == ""


@pytest.mark.parametrize(
    "line", ["    a = 1 +\n", "    a = = 1\n", "        a = 1\n", "    a = 'x\n", "    b = [1,\n    c = 2\n"]
)
def test_what_no_further_line_can_mend_is_broken_and_runs_to_say_why(line: str) -> None:
    program = HEAD + "    a = 1\n" + line
    assert look(program).broken
    assert look(program).runnable == program


@given(st.text(alphabet=st.sampled_from("def solution():\n    a=1+(['\"\\#xif\0\r\f"), max_size=80))
def test_no_text_at_all_raises(text: str) -> None:
    found = look(text)
    assert found.broken or not found.runnable or compile(found.runnable, "<whole>", "exec") is not None
