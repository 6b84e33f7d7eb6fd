"""What is said of a line is true: `ran` only where it must have run."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from pad_ray.decode.steps import steps

STRAIGHT = "def solution():\n    a = 2\n\n    # a comment\n    return a * 3\n"


def states(program: str, ending: str = "value") -> list[str]:
    return [step["state"] for step in steps(program, ending)]


def test_every_line_of_a_straight_program_ran_and_blank_lines_and_comments_are_no_steps() -> None:
    assert steps(STRAIGHT, "value") == (
        {"code": "def solution():", "state": "ran"},
        {"code": "    a = 2", "state": "ran"},
        {"code": "    return a * 3", "state": "ran"},
    )


def test_lines_inside_a_branch_or_loop_are_unknown_and_the_path_goes_on_behind_it() -> None:
    program = "def solution():\n    a = 2\n    if a > 1:\n        a = 3\n    else:\n        a = 4\n    return a\n"
    assert states(program) == ["ran", "ran", "ran", "unknown", "unknown", "unknown", "ran"]


def test_behind_a_block_that_may_return_nothing_is_claimed() -> None:
    assert states("def solution():\n    for i in [1]:\n        return i\n    return 2\n") == [
        "ran",
        "ran",
        "unknown",
        "unknown",
    ]


def test_lines_behind_the_return_did_not_run() -> None:
    assert states("def solution():\n    return 1\n    a = 2\n") == ["ran", "ran", "not_run"]


def test_of_two_definitions_the_last_was_called() -> None:
    assert states("def solution():\n    return 1\ndef solution():\n    return 2\n") == ["ran", "unknown", "ran", "ran"]


def test_a_program_without_a_function_is_read_too() -> None:
    assert states("a = [\n  1,\n]\nresult = a[0]\n") == ["ran"] * 4


def test_a_failed_program_is_unknown_and_an_unexecuted_one_did_not_run() -> None:
    assert set(states(STRAIGHT, "failed")) == {"unknown"}
    assert set(states(STRAIGHT, "not_run")) == {"not_run"}
    assert steps("", "not_run") == ()


def test_text_that_this_process_cannot_parse_is_not_claimed() -> None:
    assert states("def solution(:\n") == ["unknown"]
    assert states("a = " + "(" * 5000 + ")" * 5000) == ["unknown"]


BLOCKS = ["if {c}:", "for _ in range({n}):", "while x < {n}:", "with open('/dev/null'):", "try:"]


@st.composite
def bodies(draw: st.DrawFn, depth: int = 0) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["step", "return", "block"] if depth < 2 else ["step", "return"]))
        if kind == "block":
            head = draw(st.sampled_from(BLOCKS)).format(c=draw(st.booleans()), n=draw(st.integers(0, 2)))
            lines += [head, "    x += 1", *("    " + line for line in draw(bodies(depth + 1)))]
            if head == "try:":
                lines += ["finally:", "    x += 1"]
        else:
            lines.append("x += 1" if kind == "step" else "return x")
    return lines


@given(bodies())
@settings(max_examples=150, deadline=None)
def test_claims_agree_with_a_trace_of_the_real_run(body: list[str]) -> None:
    program = "\n".join(["def solution():", "    x = 0", *("    " + line for line in body), "    return x"]) + "\n"
    ran = {1}

    def trace(frame, event, argument):
        if frame.f_code.co_filename == "<student>":
            ran.add(frame.f_lineno)
            return trace
        return None

    scope: dict[str, object] = {}
    exec(compile(program, "<student>", "exec"), scope)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        scope["solution"]()  # type: ignore[operator]
    finally:
        sys.settrace(before)
    for number, state in enumerate(states(program), start=1):
        line = program.splitlines()[number - 1].strip()
        if state == "ran" and line != "try:":
            assert number in ran, f"line {number} ({line}) did not run:\n{program}"
        if state == "not_run":
            assert number not in ran
