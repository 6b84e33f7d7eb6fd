"""What can be said of a program from its syntax alone; nothing is executed."""

from __future__ import annotations

import ast


def fingerprint(program: str) -> str:
    """Equal for programs with the same syntax tree; comments and layout do not count. Raises what `ast.parse` does."""
    return ast.dump(ast.parse(program), annotate_fields=False)
