"""Programs of one batch share a child only where the gate sees that they cannot touch each other."""

from __future__ import annotations

import pytest

from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox
from pad_ray.sandbox.jail.gate import Gate
from pad_ray.sandbox.jail.language import SHARED_MODULES

PLAIN = {
    "arithmetic": "def solution():\n    total = 3\n    price = 4.5\n    return round(total * price, 2)",
    "allowed module": "import math\ndef solution():\n    return math.ceil(math.sqrt(17))",
    "allowed class": "from fractions import Fraction\nans = Fraction(1, 2) + Fraction(1, 3)",
    "loops and comprehensions": "ans = sum(i * i for i in range(10) if i % 2)",
    "text": "ans = ', '.join(sorted('b a'.split())).upper()",
    "variables named like attributes": "count = 3\nname = 'x'\nvalue = count\ndef solution():\n    return value",
    "try": "try:\n    ans = 1 / 0\nexcept ZeroDivisionError:\n    ans = 0",
}
DOORS = {
    "setting an attribute": "import math\nmath.sqrt = None",
    "deleting an attribute": "import math\ndel math.sqrt",
    "changing a class": "from fractions import Fraction\nFraction.__add__ = None",
    "star import": "from math import *",
    "other module": "import random\nans = random.random()",
    "module of a package": "import os.path",
    "module behind a module": "import fractions\nans = fractions.sys",
    "dunder in a text": "ans = '{0.__class__}'.format(1)",
    "class": "class A:\n    pass",
    "builtin with power": "ans = getattr(1, 'real')",
    "shadowed builtin": "ans = eval('1')",
    "frames": "def g():\n    yield 1\nans = g().gi_frame",
    "clock": "import datetime\nans = datetime.datetime.now()",
    "too long": "x = 1\n" * 3000,
}
POISON = {
    "patched module": "import math\nmath.sqrt = lambda x: 13\nmath.ceil = lambda x: 13\nans = 1",
    "patched class": "from fractions import Fraction\nFraction.__add__ = lambda a, b: 13\nans = 1",
    "patched builtins": "import builtins\nbuiltins.sum = lambda x: 13\nans = 1",
    "closed stdout": "import statistics\nstatistics.sys.stdout = None\nans = 1",
    "loop": "while True:\n    pass",
    "memory": "ans = [0] * 10**10",
    "flood": "while True:\n    print('x' * 9999)",
    "kept memory": "keep = [bytes(300 << 20)]\nkeep.append(keep)\nans = 1",
    "delayed loop": "def g(box):\n    try:\n        yield 1\n    finally:\n        while True:\n            pass\n"
    "box = []\nbox.append(g(box))\nnext(box[0])\nans = 1",
    "exit": "import statistics\nstatistics.sys.modules['os']._exit(0)",
}
BENIGN = [
    ("import math\ndef solution():\n    return math.sqrt(16) + math.ceil(2.5)", "7.0"),
    ("def solution():\n    return sum([1, 2, 3]) + round(2.6) + max(1, 5)", "14"),
    ("from fractions import Fraction\ndef solution():\n    return Fraction(1, 2) + Fraction(1, 3)", "5/6"),
    ("ans = len(bytes(300 << 20)) and 4", "4"),
]


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate(SHARED_MODULES)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_programs_may_share(gate: Gate, name: str) -> None:
    assert gate.may_share(compile(PLAIN[name], "<program>", "exec"))


@pytest.mark.parametrize("name", DOORS)
def test_programs_with_a_door_to_shared_state_may_not(gate: Gate, name: str) -> None:
    assert not gate.may_share(compile(DOORS[name], "<program>", "exec"))


@pytest.mark.parametrize("name", DOORS)
def test_a_door_inside_a_nested_function_is_seen(gate: Gate, name: str) -> None:
    if name == "star import":
        pytest.skip("Python itself refuses it inside a function")
    body = "\n".join("        " + line for line in DOORS[name].splitlines())
    assert not gate.may_share(compile(f"def a():\n    def b():\n{body}\n    return b", "<program>", "exec"))


@pytest.mark.parametrize("name", POISON)
def test_neighbours_keep_their_values_wherever_the_poison_stands(strict_box: Sandbox, name: str) -> None:
    for position in (0, 2, len(BENIGN)):
        programs = [program for program, _ in BENIGN]
        programs.insert(position, POISON[name])
        found = strict_box.run(programs)
        del found[position]
        assert [execution.value for execution in found] == [value for _, value in BENIGN]


def test_confirmation_runs_an_unsure_ending_once_more_alone() -> None:
    with Sandbox(level="unsafe", timeout_s=0.4, confirm=True) as box:
        loop, good = box.run(["while True:\n    pass", "ans = 1"])
        assert loop.outcome is Outcome.TIMEOUT
        assert good.value == "1"


def test_a_lone_program_finds_nothing_of_those_before_it() -> None:
    look = """import statistics
gc, word = statistics.sys.modules['gc'], ''.join(['prec', 'ious'])
seen, found, waiting = set(), set(), gc.get_objects()
while waiting:
    item = waiting.pop()
    if id(item) not in seen:
        seen.add(id(item))
        waiting += gc.get_referents(item)
        if type(item) in (str, bytes) and word in str(item) and 'seen, found' not in str(item) and item is not word:
            found.add(str(item))
ans = str(sorted(found))
"""
    with Sandbox(level="unsafe", timeout_s=5.0) as box:
        for programs, values in (([look, "ans = 'precious'", look], ["[]", "precious", "[]"]), ([look], ["[]"])):
            assert [found.value for found in box.run(programs, lane="solo")] == values
