"""Arithmetic in a text → a tree, and from a tree → an exact value. Python reads it, and never runs it.

Only numbers, names, brackets and + - * / ** pass. Lengths, exponents and results are bounded, so that no text makes it
work for long.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

MAX_TEXT = 300
"""Longest expression, in characters."""
MAX_DEPTH = 60
"""Operations within each other; also the most terms of a sum."""
MAX_BITS = 4096
"""Largest numerator or denominator of a value."""

_PLAIN = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "^", "$": " ", "€": " ", "£": " "})
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PERCENT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*%")
_TIMES = re.compile(r"(?P<times>(?<=[\d)])\s*[xX]\s*(?=[\d(.]))|[A-Za-z_]\w*")
"""An x that means times, or a name, in which none does: boards_2x4."""
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


def read(text: str) -> ast.expr | None:
    """The expression in a text, or None where it is none. Money signs and thousands separators do not count."""
    if len(text) > MAX_TEXT:
        return None
    text = _THOUSANDS.sub("", text.translate(_PLAIN)).replace("^", "**")
    text = _TIMES.sub(lambda found: "*" if found["times"] else found[0], _PERCENT.sub(r"(\1/100)", text))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _is_arithmetic(tree) else None


def value(tree: ast.expr, known: Mapping[str, Fraction] | None = None) -> Fraction | None:
    """What an expression of `read` comes to; None for a division by nothing, an unknown name, or beyond the bounds."""
    try:
        found = _value(tree, known or {})
    except (ArithmeticError, KeyError):
        return None
    return found if max(abs(found.numerator), found.denominator).bit_length() <= MAX_BITS else None


def names(tree: ast.expr) -> list[str]:
    """The names in an expression, each once, in their order."""
    return list(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def numbers(tree: ast.expr) -> Iterator[ast.Constant]:
    """The numbers in an expression."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Constant))


def number(constant: ast.Constant) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    return Fraction(repr(constant.value))


def _is_arithmetic(tree: ast.expr, depth: int = 0) -> bool:
    if depth > MAX_DEPTH:  # whoever walks the tree needs a stack for it
        return False
    if isinstance(tree, ast.Constant):
        kind = type(tree.value)
        # A float of infinite size is no number that was written.
        return (kind is int or kind is float) and len(repr(tree.value)) < MAX_TEXT and repr(tree.value) != "inf"
    if isinstance(tree, ast.Name):
        return tree.id.isascii()
    if isinstance(tree, ast.UnaryOp):
        return isinstance(tree.op, ast.USub | ast.UAdd) and _is_arithmetic(tree.operand, depth + 1)
    if isinstance(tree, ast.BinOp):
        sides = _is_arithmetic(tree.left, depth + 1) and _is_arithmetic(tree.right, depth + 1)
        return isinstance(tree.op, _OPERATORS) and sides
    return False


def _value(tree: ast.expr, known: Mapping[str, Fraction]) -> Fraction:
    if isinstance(tree, ast.Constant):
        return number(tree)
    if isinstance(tree, ast.Name):
        return known[tree.id]
    if isinstance(tree, ast.UnaryOp):
        operand = _value(tree.operand, known)
        return -operand if isinstance(tree.op, ast.USub) else operand
    assert isinstance(tree, ast.BinOp)  # `read` lets nothing else pass
    left, right = _value(tree.left, known), _value(tree.right, known)
    match tree.op:
        case ast.Add():
            found = left + right
        case ast.Sub():
            found = left - right
        case ast.Mult():
            found = left * right
        case ast.Div():
            found = left / right
        case _:
            found = _power(left, right)
    if max(abs(found.numerator), found.denominator).bit_length() > MAX_BITS:
        raise OverflowError
    return found


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    size = max(abs(base.numerator), base.denominator).bit_length()
    if exponent.denominator != 1 or abs(exponent) * size > MAX_BITS:
        raise OverflowError
    return base ** int(exponent)
