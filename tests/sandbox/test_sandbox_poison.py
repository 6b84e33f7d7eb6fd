"""Whatever one program of a batch does, wherever it stands, its neighbours keep their values."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hostile_watch import PROGRAMS

from pad_ray.outcomes import Outcome
from pad_ray.sandbox import Sandbox
from pad_ray.sandbox.jail.gate import Gate
from pad_ray.sandbox.jail.language import SHARED_MODULES
from pad_ray.sandbox.jail.values import canonical

COUNT = 64
PLACES = {"CANARY": "/etc/hostname", "DIR": "/nonexistent", "PORT": "1", "ENV": "PATH"}
LONG = {"time", "cpu", "memory", "output", "crash", "exit"}
"""Categories with programs that run until something ends them."""
KINDS = (
    "import math\ndef solution():\n    return math.sqrt({n} * {n}) + math.ceil({n}.5)",
    "from fractions import Fraction\nans = Fraction({n}, 7) + Fraction(1, 3) * Fraction(1, 2)",
    "ans = sum(i * i for i in range({n})) + len(str({n})) + max(1, {n}) + round(2.6)",
    "import itertools\nans = len(list(itertools.combinations(range({n} % 9 + 2), 2)))",
    "import datetime\nans = str(datetime.date(2024, 1, 1) + datetime.timedelta(days={n}))",
    "ans = ', '.join(sorted('b{n} a{n}'.split())).upper()",
    "prices = {{'a': {n}}}\ndef solution():\n    return round(sum(prices[name] * 1.5 for name in prices), 2)",
    "try:\n    ans = 1 / 0\nexcept ZeroDivisionError:\n    print('caught')\n    ans = {n}",
)
PLAIN = [KINDS[n % len(KINDS)].format(n=n) for n in range(COUNT)]
linux = pytest.mark.skipif(sys.platform != "linux", reason="the boundary is the Linux kernel")


def _expected(program: str) -> str:
    names: dict[str, Any] = {}
    exec(program, names)
    return canonical(names["solution"]() if "solution" in names else names["ans"])


EXPECTED = [_expected(program) for program in PLAIN]


def _aimed(hostile: dict[str, str]) -> str:
    code = hostile["code"]
    for name, value in PLACES.items():
        code = code.replace(f"@{name}@", value)
    return code


def _poisoned(box: Sandbox, code: str, position: int) -> tuple[list[int], float]:
    """Neighbours that changed, and how long the program took."""
    changed, seconds = [], 0.0
    for _ in range(3):  # a neighbour may be late because the machine is: not each time
        found = box.run([*PLAIN[:position], code, *PLAIN[position:]])
        seconds = found.pop(position).seconds
        changed = [n for n, end in enumerate(found) if (end.outcome.value, end.value) != ("ok", EXPECTED[n])]
        if any(found[n].outcome is not Outcome.TIMEOUT for n in changed) or not changed:
            break
    return changed, seconds


@linux
@pytest.mark.parametrize("off", [(), ("language",)], ids=["all layers", "language off"])
def test_at_every_position_a_hostile_program_leaves_its_neighbours_alone(
    strict_box: Sandbox, off: tuple[str, ...]
) -> None:
    """Each position has a program of its own, among those that end by themselves."""
    brief = [hostile for hostile in PROGRAMS if hostile["category"] not in LONG]
    with Sandbox(timeout_s=0.3, _off=frozenset(off)) as box:
        for position in range(max(COUNT + 1, len(brief))):
            hostile, place = brief[position % len(brief)], position % (COUNT + 1)
            assert _poisoned(box, _aimed(hostile), place)[0] == [], (hostile["name"], place)
        assert box.restarts == 0


@linux
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("off", [("language",)], ids=["language off"])
def test_every_hostile_program_leaves_its_neighbours_alone(strict_box: Sandbox, off: tuple[str, ...]) -> None:
    """All programs that the gate lets into the shared child stand at every position.

    The others, which never run there, stand at every fourth, and those that run long at five.
    """
    gate = Gate(SHARED_MODULES)
    with Sandbox(timeout_s=0.3, _off=frozenset(off)) as box:
        for number, hostile in enumerate(PROGRAMS):
            changed, seconds = _poisoned(box, _aimed(hostile), COUNT // 2)
            positions = range(0, COUNT + 1, COUNT // 4) if seconds > 0.1 else range(number % 4, COUNT + 1, 4)
            if seconds <= 0.1 and _may_share(gate, _aimed(hostile)):
                positions = range(COUNT + 1)
            for position in positions:
                changed += _poisoned(box, _aimed(hostile), position)[0]
            assert changed == [], hostile["name"]
        assert box.restarts == 0


def _may_share(gate: Gate, code: str) -> bool:
    try:
        return gate.may_share(compile(code, "<program>", "exec"))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return True  # it ends before the gate, in the shared child
