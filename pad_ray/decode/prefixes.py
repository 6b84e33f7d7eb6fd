"""What of an unfinished program can be executed already: its whole statements, without what is still open.

A line may stop in the middle of a bracket, or at the head of a block that has no body yet. A block that stands last may
still grow, and what it does then may be another thing (a loop whose counter is raised in its next line ends only then).
So neither is executed, and neither is an error; a statement counts as soon as the next one cannot change it.
"""

from __future__ import annotations

import ast
from codeop import PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]
from dataclasses import dataclass

_DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True, slots=True)
class Prefix:
    """An unfinished program, looked at."""

    runnable: str
    """The text up to its last whole statement, to be executed as it is; empty: there is nothing to execute yet."""
    is_function: bool = False
    """Whether it defines `solution()`, so that a value it gives now is final: no later line is reached."""
    returns: bool = False
    """Whether its last statement is a `return` on the straight path of `solution()`."""
    broken: bool = False
    """Whether no text behind it can make it compile."""


def look(program: str) -> Prefix:
    """What can be executed of the first lines of a program, each of them whole."""
    if _is_broken(program):
        return Prefix(program, broken=True)
    lines = [line + "\n" for line in program.removesuffix("\n").split("\n")]
    for count in range(len(lines), 0, -1):
        tree = _tree("".join(lines[:count]))
        if tree is not None:
            return _whole(lines, tree)
    return Prefix("")


def _is_broken(text: str) -> bool:
    """Whether more text could not mend it, as an interactive interpreter finds out whether to ask for more."""
    try:
        compile(text, "<prefix>", "exec", ast.PyCF_ONLY_AST | PyCF_ALLOW_INCOMPLETE_INPUT, dont_inherit=True)
    except SyntaxError as error:
        return error.msg != "incomplete input"
    except _UNREADABLE:
        return True
    return False


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except _UNREADABLE:
        return None


def _whole(lines: list[str], tree: ast.Module) -> Prefix:
    """The lines before whatever is open at the end of a text that can be parsed."""
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.FunctionDef) and last.name == "solution":
        kept = last.body[:-1] if _is_block(last.body[-1]) else last.body
        if not kept:
            return Prefix("")
        returns = isinstance(kept[-1], ast.Return)
        return Prefix("".join(lines[: kept[-1].end_lineno]), True, returns)
    kept = tree.body[:-1] if last is not None and _is_block(last) else tree.body
    defined = any(isinstance(one, ast.FunctionDef) and one.name == "solution" for one in kept)
    return Prefix("".join(lines[: kept[-1].end_lineno]) if kept else "", defined)


def _is_block(statement: ast.stmt) -> bool:
    return isinstance(statement, _DEFINITION) or hasattr(statement, "body") or hasattr(statement, "cases")
