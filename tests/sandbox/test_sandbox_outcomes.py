"""Every way a program can end has its outcome, in both lanes, in order, with a detail that a reader can use."""

from __future__ import annotations

import pytest

from pad_ray.errors import UsageError
from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox

LANES = ("batch", "solo")
ENDINGS = [
    ("def solution():\n    return 6 * 7", Outcome.OK, "42", ""),
    ("from fractions import Fraction\ndef solution():\n    return Fraction(1, 3)", Outcome.OK, "1/3", ""),
    ("def solution():\n    return 0.1 + 0.2", Outcome.OK, "0.30000000000000004", ""),
    ("def solution():\n    return [1, 2.5, 'a', True, None]", Outcome.OK, '[1, 2.5, "a", true, null]', ""),
    ("def solution():\n    return None", Outcome.NO_ANSWER, "", "none"),
    ("def solution():\n    return object", Outcome.NO_ANSWER, "", "odd"),
    ("def solution():\n    return 10**5000", Outcome.NO_ANSWER, "", "big"),
    ("x = 1", Outcome.NO_ANSWER, "", "missing"),
    ("def solution(:\n    return 1", Outcome.SYNTAX_ERROR, "", "SyntaxError: invalid syntax (line 1)"),
    ("def solution():\n    return missing_name", Outcome.RUNTIME_ERROR, "", "name 'missing_name' is not defined"),
    ("def solution():\n    return 1 / 0", Outcome.RUNTIME_ERROR, "", "ZeroDivisionError: division by zero"),
    ("def solution():\n    return {'a': 1}['b']", Outcome.RUNTIME_ERROR, "", "KeyError: 'b'"),
    ("def solution(n):\n    return n", Outcome.RUNTIME_ERROR, "", "TypeError: solution() missing 1 required"),
    ("def f(n):\n    return f(n)\nans = f(1)", Outcome.RUNTIME_ERROR, "", "RecursionError: maximum recursion"),
    ("ans = input()", Outcome.RUNTIME_ERROR, "", "EOFError: EOF when reading a line"),
    ("import no_such_module", Outcome.RUNTIME_ERROR, "", "ModuleNotFoundError: No module named 'no_such_module'"),
    ("raise SystemExit", Outcome.RUNTIME_ERROR, "", "SystemExit"),
    ("while True:\n    pass", Outcome.TIMEOUT, "", ""),
    ("import time\ntime.sleep(60)", Outcome.TIMEOUT, "", "wall"),
    ("def solution():\n    return 10**10**10", Outcome.TIMEOUT, "", ""),
    ("def solution():\n    return sum(range(10**14))", Outcome.TIMEOUT, "", ""),
    ("def solution():\n    return len('a' * 10**10)", Outcome.MEMORY, "", ""),
    ("while True:\n    print('x' * 1000)", Outcome.OUTPUT_LIMIT, "", ""),
    ("import subprocess", Outcome.FORBIDDEN, "", "import subprocess"),
    ("def solution():\n    return open('/etc/passwd').read()", Outcome.FORBIDDEN, "", "open"),
]
DIES = """import statistics
def solution():
    statistics.sys.modules['os'].{call}
"""


@pytest.mark.parametrize("lane", LANES)
def test_each_ending_has_its_outcome_value_and_detail_in_order(box: Sandbox, lane: str) -> None:
    found = box.run([program for program, *_ in ENDINGS], lane=lane)
    assert len(found) == len(ENDINGS)
    for (program, outcome, value, detail), execution in zip(ENDINGS, found, strict=True):
        assert (execution.outcome, execution.value) == (outcome, value), program
        assert detail in execution.detail, program


def test_a_child_that_leaves_without_a_word_has_crashed(strict_box: Sandbox) -> None:
    (left,) = strict_box.run([DIES.format(call="_exit(3)")])
    assert (left.outcome, left.detail) == (Outcome.CRASHED, "exit 3")
    (faulted,) = strict_box.run([DIES.format(call="abort()")])
    assert (faulted.outcome, faulted.detail[:6]) == (Outcome.CRASHED, "signal")


def test_an_exceptions_own_text_is_never_asked_for(box: Sandbox) -> None:
    program = (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\nraise E('x')"
    )
    (execution,) = box.run([program])
    assert (execution.outcome, execution.detail) == (Outcome.RUNTIME_ERROR, "E")


def test_swallowing_the_output_limit_does_not_hide_it(box: Sandbox) -> None:
    program = "try:\n    while True:\n        print('x' * 1000)\nexcept BaseException:\n    pass\nans = 1"
    assert box.run([program])[0].outcome is Outcome.OUTPUT_LIMIT


@pytest.mark.parametrize(
    ("program", "entry", "value"),
    [
        ("def solve(a=2, b=3):\n    return a * b", "solve", "6"),
        ("total = 5", "total", "5"),
        ("def solve_12():\n    return 7", "solve", "7"),
        ("ans = 1\nanswer = 2\nresult = 3", "", "1"),
        ("answer = 2\nresult = 3", "solution", "2"),
        ("def solution():\n    return 9\nans = 1", "", "9"),
    ],
)
def test_the_entry_is_called_if_callable_else_read(box: Sandbox, program: str, entry: str, value: str) -> None:
    for lane in LANES:
        assert box.run([program], lane=lane, entry=entry)[0].value == value


def test_dates_are_formatted_and_parsed_in_both_lanes(box: Sandbox) -> None:
    programs = [
        "from datetime import datetime, timedelta\nans = (datetime(2024, 2, 28) + timedelta(days=2)).strftime('%d %B')",
        "from datetime import datetime\nans = (datetime.strptime('14:30', '%H:%M')).hour",
    ]
    for lane in LANES:
        assert [execution.value for execution in box.run(programs, lane=lane)] == ["01 March", "14"]


def test_each_program_may_have_its_own_entry(box: Sandbox) -> None:
    found = box.run(["a = 1\nb = 2", "a = 1\nb = 2"], entry=["a", "b"])
    assert [execution.value for execution in found] == ["1", "2"]


def test_numpy_and_sympy_programs_run_and_give_plain_numbers(box: Sandbox) -> None:
    if (
        set(box.report["science"]) != {"numpy", "sympy"}
        and box.run(["import numpy"])[0].outcome is Outcome.RUNTIME_ERROR
    ):
        pytest.skip("numpy and sympy are not installed")
    programs = [
        "import numpy as np\nans = np.array([1, 2, 3]).sum()",
        "import numpy as np\nans = np.float64(2.5)",
        "from sympy import symbols, solve, Eq\nx = symbols('x')\nans = solve(Eq(2 * x + 1, 8), x)",
        "import sympy\nans = sympy.Integer(2) ** 70",
    ]
    for lane in LANES:
        values = [execution.value for execution in box.run(programs, lane=lane)]
        assert values == ["6", "2.5", '["7/2"]', str(2**70)]


def test_more_programs_than_a_batch_come_back_in_order(box: Sandbox) -> None:
    found = box.run([f"ans = {number}" for number in range(600)])
    assert [execution.value for execution in found] == [str(number) for number in range(600)]


def test_no_programs_give_no_executions(box: Sandbox) -> None:
    assert box.run([]) == []


def test_source_text_that_cannot_be_python_is_a_verdict_not_an_error(box: Sandbox) -> None:
    found = box.run(["ans = '\x00'", "ans = '\ud800'", "#" * 40_000, "(" * 5_000])
    assert [execution.outcome for execution in found] == [
        Outcome.SYNTAX_ERROR,
        Outcome.SYNTAX_ERROR,
        Outcome.FORBIDDEN,
        Outcome.SYNTAX_ERROR,
    ]


def test_random_numbers_and_set_order_are_the_same_in_every_run(box: Sandbox) -> None:
    program = "import random\nans = str([random.random(), list({'a', 'b', 'c'})])"
    assert len({box.run([program], lane=lane)[0].value for lane in LANES for _ in range(3)}) == 1


def test_wrong_use_is_explained(box: Sandbox) -> None:
    with pytest.raises(UsageError, match="one text, not a list"):
        box.run("ans = 1")
    with pytest.raises(UsageError, match="lane 'both' does not exist"):
        box.run(["ans = 1"], lane="both")
    with pytest.raises(UsageError, match="1 programs and 2 entries"):
        box.run(["ans = 1"], entry=["a", "b"])
    with pytest.raises(UsageError, match="not open"):
        Sandbox().run(["ans = 1"])
    with pytest.raises(UsageError, match="timeout_s is 0"):
        Sandbox(timeout_s=0)
    with pytest.raises(UsageError, match="level 'safe' does not exist"):
        Sandbox(level="safe")
