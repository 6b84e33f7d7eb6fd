"""One form for training targets: what is rewritten, what is refused, and that meaning stays."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.curate.canonical import canonicalise
from pad_ray.syntax import fingerprint


def value(program: str) -> Any:
    names: dict[str, Any] = {}
    exec(program, names)
    return names["solution"]()


SOLVE = '''import math

def solve(price: int = 3, *, share: float = 0.5) -> float:
    """Sells things."""
    # half of it
    sold: float = price * share  #: L1
    return math.floor(sold * 10)

print(solve())
if __name__ == "__main__":
    print(solve())
'''


def test_defaults_become_assignments_and_decoration_goes() -> None:
    rewritten = canonicalise(SOLVE, "solve").program
    assert rewritten == (
        "import math\n\ndef solution():\n    price = 3\n    share = 0.5\n"
        "    sold = price * share\n    return math.floor(sold * 10)\n"
    )
    assert value(rewritten) == 15


def test_a_variable_entry_is_wrapped_with_its_imports_outside() -> None:
    rewritten = canonicalise("import math\na = 16\nans = math.sqrt(a)\nprint(ans)\n", "ans").program
    assert rewritten == "import math\n\ndef solution():\n    a = 16\n    ans = math.sqrt(a)\n    return ans\n"


@pytest.mark.parametrize(
    ("program", "entry", "expected"),
    [
        ("def solution():\n    return 1", "", 1),
        ("def solve_0():\n    return 2", "solve", 2),
        ("def main():\n    return 3\n", "", 3),
        ("K = 2\ndef half(x):\n    return x / K\n\ndef solution():\n    return half(9)", "solution", 4.5),
        ("def f(n=5):\n    return n\nresult = f()", "f", 5),
        ("def f(n):\n    return n\nanswer = f(6)", "", 6),
        ("def fact():\n    return 1\n\ndef solution(a=3, b=4):\n    return a * b", "", 12),
    ],
)
def test_the_entry_is_found_and_its_value_kept(program: str, entry: str, expected: Any) -> None:
    assert value(canonicalise(program, entry).program) == expected


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def solution(:", "unparseable"),
        ("def solution(x):\n    return x", "needs_arguments"),
        ("def solution(n=3):\n    return 1 if n < 1 else n * solution(n - 1)", "needs_arguments"),
        ("x = 3", "no_entry"),
        ("import random\ndef solution():\n    return random.random()", "nondeterministic"),
        ("from datetime import datetime\ndef solution():\n    return datetime.now().year", "nondeterministic"),
        ("x = " + "(" * 500 + ")" * 500, "unparseable"),
    ],
)
def test_what_cannot_be_taught_says_why(program: str, reason: str) -> None:
    assert canonicalise(program) == ("", reason)


def test_rewriting_twice_changes_nothing() -> None:
    once = canonicalise(SOLVE, "solve").program
    assert canonicalise(once).program == once


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
def test_values_survive_the_rewrite(number: int, real: float, text: str) -> None:
    program = f"def f(a={number!r}, b={real!r}):\n    c = {text!r}\n    return (a, b, c)\n"
    assert value(canonicalise(program, "f").program) == (number, real, text)


def test_fingerprints_ignore_layout_and_notice_meaning() -> None:
    assert fingerprint("x=1 # one\n\ny = 2") == fingerprint("x = 1\ny = 2\n")
    assert fingerprint("x = 1") != fingerprint("x = 2")


def test_real_correct_programs_keep_their_value(shared_data: Path) -> None:
    lines = (shared_data / "recorded_teacher_programs_gsm8k_train_pad_gpt35.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["verdict"] == "correct"]
    for row in rows:
        rewritten = canonicalise(row["program"], row["entry"])
        assert rewritten.reason == ""
        assert math.isclose(value(rewritten.program), row["result"])
        assert not ast.get_docstring(ast.parse(rewritten.program).body[-1])  # type: ignore[arg-type]
    assert len(rows) == 86
