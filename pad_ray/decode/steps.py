"""A program line by line, with what can be said of each line from how the whole program ended.

Nothing is traced. A program that ended well ran its straight path; whether a line inside a branch or a loop ran cannot
be told from outside, and is not claimed.
"""

from __future__ import annotations

import ast
from typing import Literal

State = Literal["ran", "not_run", "unknown"]
Ending = Literal["value", "failed", "not_run"]


def steps(program: str, ending: Ending) -> tuple[dict[str, str], ...]:
    """The lines that hold code, as `{"code": line, "state": State}`.

    `ending` says how the program as a whole ended: it gave a value, it failed somewhere, or it was never executed.
    """
    states = _straight_path(program) if ending == "value" else {}
    default: State = "not_run" if ending == "not_run" else "unknown"
    return tuple(
        {"code": line, "state": states.get(number, default)}
        for number, line in enumerate(program.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    )


def _straight_path(program: str) -> dict[int, State]:
    """States by line number for a program that ended well."""
    try:
        module = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The text is untrusted, and this process may have less stack left than the one that ran it.
        return {}
    states: dict[int, State] = {}
    _walk(module, states)
    # Of several definitions the last is the one that was called.
    functions = [node for node in module if isinstance(node, ast.FunctionDef) and node.name == "solution"]
    for function in functions[-1:]:
        _walk(function.body, states)
    return states


def _walk(body: list[ast.stmt], states: dict[int, State]) -> None:
    """Mark the lines of one straight sequence of statements that was entered."""
    state: State = "ran"
    for statement in body:
        is_block = hasattr(statement, "body") or hasattr(statement, "cases")
        last = statement.lineno if is_block else statement.end_lineno or statement.lineno
        states.update(dict.fromkeys(range(statement.lineno, last + 1), state))
        if state == "ran" and isinstance(statement, ast.Return):
            state = "not_run"
        elif state == "ran" and is_block and _may_leave(statement):
            state = "unknown"


def _may_leave(block: ast.stmt) -> bool:
    """Whether the function may end inside this block."""
    is_definition = isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return not is_definition and any(isinstance(node, ast.Return) for node in ast.walk(block))
