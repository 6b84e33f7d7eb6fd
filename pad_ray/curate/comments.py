"""Comments on lines of their own, taken over into another print of the same program."""

from __future__ import annotations

import ast
import tokenize
from io import StringIO


def with_comments(program: str, printed: str) -> str:
    """`printed` with the comments of `program`, each above the statement that it stands above there.

    Only where both have the same syntax tree: otherwise nobody knows where they belong, and `printed` stays as it is.
    Comments behind code, and those with no statement after them, are left out.
    """
    try:
        old, new = ast.parse(program), ast.parse(printed)
        comments = _own_lines(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return printed
    if ast.dump(old) != ast.dump(new):
        return printed
    starts = {one.lineno: two.lineno for one, two in zip(_statements(old), _statements(new), strict=True)}
    above: dict[int, list[str]] = {}
    for number, text in comments.items():
        if follows := [line for line in starts if line > number]:
            above.setdefault(starts[min(follows)], []).append(text)
    lines: list[str] = []
    for number, line in enumerate(printed.splitlines(), start=1):
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}{text}" for text in above.get(number, ())]
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)


def _own_lines(program: str) -> dict[int, str]:
    """By line number, the comments with nothing before them."""
    found = tokenize.generate_tokens(StringIO(program).readline)
    return {
        one.start[0]: " ".join(one.string.split())
        for one in found
        if one.type == tokenize.COMMENT and not one.line[: one.start[1]].strip()
    }


def _statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
