"""The rule-based faulty teacher of the recipe `quick`: it knows the rule of both tasks, and errs at a stated rate.

It writes each program in one of several styles, then spoils an exact share of its replies, each with one fault.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pad_ray.problems.sources import rows

SEED = 2305
SECOND_REPLY = 0.6
"""Share of the problems with two replies; the others have one."""
OTHER_NAME = 0.05
"""Chance that the function is not called `solution`; the row then names it in `entry`. Not a fault."""

FAULTS = {
    "lcm": {
        "wrong": 0.10,
        "syntax": 0.05,
        "misspelt": 0.04,
        "refusal": 0.03,
        "none": 0.01,
        "endless": 0.0025,
    },
    "chain_sum": {
        "wrong": 0.14,
        "syntax": 0.05,
        "misspelt": 0.04,
        "refusal": 0.03,
        "none": 0.01,
        "endless": 0.0025,
    },
}
"""Share of the replies of each task with each fault. Few are endless: each costs the sandbox its whole time limit."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the faulty teacher."""

    problem_id: str
    text: str
    entry: str
    """The function's name where it is not `solution`, else empty."""
    fault: str
    """A key of FAULTS, or empty."""


def record(uris: Sequence[str]) -> list[Reply]:
    """The whole recording: one or two replies to each problem behind the gym URIs, in their order."""
    replies: list[Reply] = []
    for uri in uris:
        problems = [row for _, row in rows(uri)]
        task = problems[0]["source"]
        dice = random.Random(f"{SEED}/{task}")
        twice = set(dice.sample(range(len(problems)), round(SECOND_REPLY * len(problems))))
        asked = [row for number, row in enumerate(problems) for _ in range(2 if number in twice else 1)]
        plan = [fault for fault, rate in FAULTS[task].items() for _ in range(round(rate * len(asked)))]
        plan += [""] * (len(asked) - len(plan))
        dice.shuffle(plan)
        replies += [_reply(task, row, fault, dice) for row, fault in zip(asked, plan, strict=True)]
    return replies


def _reply(task: str, row: dict[str, Any], fault: str, dice: random.Random) -> Reply:
    numbers, signs = understood(row["question"])
    if fault == "refusal":
        return Reply(row["problem_id"], dice.choice(REFUSALS[task]), "", fault)
    if fault == "endless":
        program = _ENDLESS[task](numbers, signs)
    else:
        program = WRITERS[task](numbers, signs, dice)
        if fault:
            program = spoil(program, fault, dice)
    entry = dice.choice(OTHER_NAMES[task]) if dice.random() < OTHER_NAME else ""
    program = program.replace("solution(", f"{entry or 'solution'}(", 1)
    return Reply(row["problem_id"], _dress(program, task, dice), entry, fault)


def understood(question: str) -> tuple[list[int], list[str]]:
    """The numbers of a question, and the signs between them."""
    return [int(number) for number in re.findall(r"\d+", question)], re.findall(r" ([+-]) ", question)


# Clean programs


def write_lcm(numbers: Sequence[int], signs: Sequence[str], dice: random.Random) -> str:
    """The least common multiple of two numbers, by the library or by the greatest common divisor."""
    a, b = dice.choice([("first", "second"), ("number_one", "number_two"), ("a", "b")])
    result = f"math.lcm({a}, {b})" if dice.random() < 0.6 else f"{a} * {b} // math.gcd({a}, {b})"
    return "import math\n\n" + _solution(f"{a} = {numbers[0]}", f"{b} = {numbers[1]}", f"result = {result}")


def write_chain_sum(numbers: Sequence[int], signs: Sequence[str], dice: random.Random) -> str:
    """A running total, or one variable for each term and their sum."""
    terms = list(zip(signs, numbers[1:], strict=True))
    if dice.random() < 0.7:
        steps = [f"total {sign}= {number}" for sign, number in terms]
        return _solution(f"total = {numbers[0]}", *steps, "result = total")
    names = ["first", "second", "third", "fourth", "fifth", "sixth"]
    given = [f"{name} = {number}" for name, number in zip(names, numbers, strict=False)]
    tail = "".join(f" {sign} {name}" for name, (sign, _) in zip(names[1:], terms, strict=False))
    return _solution(*given, f"result = first{tail}")


def _solution(*lines: str) -> str:
    return "def solution():\n" + "".join(f"    {line}\n" for line in (*lines, "return result"))


WRITERS: dict[str, Callable[[Sequence[int], Sequence[str], random.Random], str]] = {
    "lcm": write_lcm,
    "chain_sum": write_chain_sum,
}
OTHER_NAMES = {"lcm": ["find_lcm", "least_common_multiple"], "chain_sum": ["add_up", "compute_total"]}


# Faults


def spoil(program: str, fault: str, dice: random.Random) -> str:
    """The program with one fault; `wrong` is a wrong number or operator that surely changes the value."""
    if fault != "wrong":
        return _SPOILERS[fault](program, dice)
    while True:
        spoilt = dice.choice([_wrong_number, _wrong_operator])(program, dice)
        if value(spoilt) != value(program):
            return spoilt


def value(program: str) -> Any:
    """What `solution()` of one of our own programs gives."""
    names: dict[str, Any] = {}
    exec(program, names)
    return names["solution"]()


def _wrong_number(program: str, dice: random.Random) -> str:
    found = dice.choice(list(re.finditer(r"\d+", program)))
    number = int(found.group())
    other = abs(dice.choice([number + 1, number - 1, number + 10, number - 10, int(str(number)[::-1])]))
    return program[: found.start()] + str(other) + program[found.end() :]


def _wrong_operator(program: str, dice: random.Random) -> str:
    if "math.lcm" in program:
        return program.replace("math.lcm", "math.gcd")
    if "math.gcd" in program:
        # The product alone is right for numbers without a common divisor, a sum never is.
        return dice.choice([re.sub(r" // .*", "", program), re.sub(r"(\w) \* (\w+) // .*", r"\1 + \2", program)])
    sign = dice.choice(list(re.finditer(r"[+-]", program)))
    return program[: sign.start()] + {"+": "-", "-": "+"}[sign.group()] + program[sign.end() :]


def _syntax(program: str, dice: random.Random) -> str:
    brackets = [index for index, letter in enumerate(program) if letter in ")(:"]
    drop = dice.choice([brackets[2], brackets[-1]])  # the colon of `def`, or the last of all
    return program[:drop] + program[drop + 1 :]


def _misspelt(program: str, dice: random.Random) -> str:
    names = {node.id for node in ast.walk(ast.parse(program)) if isinstance(node, ast.Name)} - {"math"}
    name = dice.choice(sorted(name for name in names if len(name) > 3))
    last = [found.start() for found in re.finditer(rf"\b{name}\b", program)][-1]
    return program[:last] + name[0] + name[2] + name[1] + name[3:] + program[last + len(name) :]


def _none(program: str, dice: random.Random) -> str:
    return program.replace("return result", "print(result)")


_SPOILERS: dict[str, Callable[[str, random.Random], str]] = {
    "syntax": _syntax,
    "misspelt": _misspelt,
    "none": _none,
}


def _endless_lcm(numbers: Sequence[int], signs: Sequence[str]) -> str:
    search = ("result = 1", "while result % first or result % second:", "    result + 1")  # meant: result += 1
    return _solution(f"first = {numbers[0]}", f"second = {numbers[1]}", *search)


def _endless_chain_sum(numbers: Sequence[int], signs: Sequence[str]) -> str:
    terms = ", ".join([str(numbers[0])] + [f"{sign}{number}" for sign, number in zip(signs, numbers[1:], strict=True)])
    walk = ("result = 0", "index = 0", "while index < len(terms):", "    result += terms[index]")  # the step is missing
    return _solution(f"terms = [{terms}]", *walk)


_ENDLESS = {"lcm": _endless_lcm, "chain_sum": _endless_chain_sum}
REFUSALS = {
    "lcm": [
        "I am not able to run code here, so I cannot be sure about the least common multiple.",
        "Write both numbers as products of primes and take every prime with its highest power.",
    ],
    "chain_sum": [
        "Work from left to right: add or subtract one number after the other.",
        "I am sorry, but I can only help with questions about programming.",
    ],
}


# Manners


def _dress(program: str, task: str, dice: random.Random) -> str:
    """The program as a reply: comments, code fences and sentences around it, as language models write them."""
    lines = program.splitlines()
    body = next(index for index, line in enumerate(lines) if line.startswith("def ")) + 1
    remark = dice.random()
    if remark < 0.1:
        lines.insert(body, f'    """Return the {_SUBJECT[task]}."""')
    elif remark < 0.3:
        lines.insert(body, "    # the numbers in the question")
    code = "\n".join(lines)
    match dice.choices(["fenced", "introduced", "explained", "bare", "plain_fence"], [50, 20, 5, 20, 5])[0]:
        case "fenced":
            return f"```python\n{code}\n```"
        case "introduced":
            return f"Here is a program that computes the {_SUBJECT[task]}:\n\n```python\n{code}\n```"
        case "explained":
            return f"```python\n{code}\n```\n\nIt returns the {_SUBJECT[task]}."
        case "plain_fence":
            return f"```\n{code}\n```"
        case _:
            return code + "\n"


_SUBJECT = {"lcm": "least common multiple", "chain_sum": "result of the sum"}
