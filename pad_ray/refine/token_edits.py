"""Ways to break a program so that it no longer parses: single tokens that got lost."""

from __future__ import annotations

import ast
import io
import keyword
import random
import tokenize
from collections.abc import Sequence

_BRACKETS = frozenset("()[]{}")
_SIGNS = frozenset(("+", "-", "*", "/", "//", "%", "**", "=", "+=", "-=", "*=", "/=", "==", "!=", "<", ">", "<=", ">="))


def with_losses(program: str, generator: random.Random, losses: int) -> str | None:
    """The program without so many of its tokens (fewer where no other would do); it does not parse.

    A bracket, an operator, an operand or a colon is lost, each kind as likely as the others. None where there is none
    that the program could not do without.
    """
    kinds = _tokens(program)
    lost: list[tokenize.TokenInfo] = []
    for _ in range(losses):
        order = [token for kind in generator.sample(kinds, len(kinds)) for token in generator.sample(kind, len(kind))]
        left = (token for token in order if token not in lost)
        lost += next(([token] for token in left if not _parses(_without(program, [*lost, token]))), [])
    return _without(program, lost) if lost else None


def _tokens(program: str) -> list[list[tokenize.TokenInfo]]:
    """What may be lost, by kind."""
    brackets, signs, operands, colons = (list[tokenize.TokenInfo]() for _ in range(4))
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        if token.string in _BRACKETS:
            brackets.append(token)
        elif token.string in _SIGNS:
            signs.append(token)
        elif token.string == ":":
            colons.append(token)
        elif token.type in (tokenize.NAME, tokenize.NUMBER) and not keyword.iskeyword(token.string):
            operands.append(token)
    return [brackets, signs, operands, colons]


def _without(program: str, tokens: Sequence[tokenize.TokenInfo]) -> str:
    lines = program.split("\n")
    for token in sorted(tokens, key=lambda token: token.start, reverse=True):
        (row, start), (_, end) = token.start, token.end
        before, after = lines[row - 1][:start], lines[row - 1][end:]
        # Two blanks would show where it was; at the beginning of a line they would be another error.
        lines[row - 1] = (before + (after.lstrip(" ") if before[-1:] in ("", " ") else after)).rstrip(" ")
    return "\n".join(lines)


def _parses(program: str) -> bool:
    try:
        ast.parse(program)
    except SyntaxError:
        return False
    return True
