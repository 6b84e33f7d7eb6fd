"""A program cut after each statement of `solution()`, so that every step can be executed and its value shown.

Nothing is traced: each step is a shorter program that runs in the same sandbox as the whole one, from its beginning.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

MAX_STEPS = 40
"""Longer programs are not cut: every step would repeat all before it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One statement, and the program that ends right after it."""

    code: str
    """The statement as it was written, without its indentation."""
    program: str | None
    """The program up to it, returning what it set; None for the last one, whose program is the whole."""
    shows: bool
    """Whether the value of that program is one that the statement set or returned."""


def cut(program: str) -> list[Step]:
    """The statements of `solution()`; none where it cannot be cut (no such function, several on a line, too long)."""
    try:
        module = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # The text is untrusted, and this process may have less stack left than the one that ran it.
        return []
    # Of several definitions the last is the one that is called.
    functions = [node for node in module if isinstance(node, ast.FunctionDef) and node.name == "solution"]
    if not functions or not (body := [node for node in functions[-1].body if not _is_docstring(node)]):
        return []
    ends = [functions[-1].lineno, *(node.end_lineno or node.lineno for node in body)]
    if len(body) > MAX_STEPS or any(node.lineno <= end for node, end in zip(body, ends, strict=False)):
        return []
    # As the parser counts lines: form feeds and the like end none.
    lines = program.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    after = lines[functions[-1].end_lineno or len(lines) :]
    found: list[Step] = []
    for node in body:
        end = node.end_lineno or node.lineno
        indent = lines[node.lineno - 1][: node.col_offset]
        code = "\n".join(line.removeprefix(indent) for line in lines[node.lineno - 1 : end])
        if isinstance(node, ast.Return):
            return [*found, Step(code, None, True)]
        name = _sets(node)
        shorter = [*lines[:end], f"{indent}return {name or True}", *after]
        found.append(Step(code, "\n".join(shorter), name is not None))
    return found


def _sets(node: ast.stmt) -> str | None:
    """The name that a statement gives a value."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.AugAssign(target=ast.Name(id=name)) | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return name
    return None


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
