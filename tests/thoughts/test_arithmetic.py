"""Arithmetic is read from any text without an error, comes to the exact value, and nothing else passes."""

from __future__ import annotations

import ast
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.thoughts import arithmetic

whole = st.integers(0, 10_000).map(str)
decimals = st.decimals(0, 1000, places=2).map(str)
sums = st.recursive(
    whole | decimals,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda it: f"({' '.join(it)})"),
    max_leaves=6,
)


def come_to(text: str) -> Fraction | None:
    tree = arithmetic.read(text)
    return None if tree is None else arithmetic.value(tree)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("48/2", 24),
        (".5*10", 5),
        ("0.1+0.2", Fraction(3, 10)),
        ("5,000*2", 10_000),
        ("$3 x 4", 12),
        ("3x4", 12),
        ("20%*50", 10),
        ("150*20%", 30),
        ("2^3", 8),
        ("80,000×1.5", 120_000),
        ("8÷2−1", 3),
        ("-(3)", -3),
    ],
)
def test_the_ways_in_which_people_write_sums_are_read(text: str, expected: Fraction) -> None:
    assert come_to(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x(3)",
        "__import__('os')",
        "1 if 1 else 2",
        "[1]",
        "1 < 2",
        "'a'",
        "3j",
        "1 // 2",
        "7 % 2",
        "True",
        "1e999",
        "a.b",
    ],
)
def test_what_is_no_arithmetic_does_not_pass(text: str) -> None:
    assert arithmetic.read(text) is None


@pytest.mark.parametrize("text", ["1/0", "9**9**9", "2**5000", "0**-1", "2**0.5", "9" * 299 + "**9"])
def test_what_has_no_bounded_exact_value_has_none(text: str) -> None:
    assert come_to(text) is None


@pytest.mark.parametrize("text", ["-" * 290 + "1", "(" * 140 + "1" + ")" * 140, "1+" * 140 + "1", "2**" * 99 + "2"])
def test_no_text_needs_a_deep_stack(text: str) -> None:
    assert arithmetic.read(text) is None or come_to(text) == 1


@given(sums)
def test_sums_come_to_what_exact_arithmetic_says(text: str) -> None:
    digits = ast.unparse(_Exact().visit(ast.parse(text, mode="eval")))
    try:
        expected = eval(digits, {"Fraction": Fraction})
    except ZeroDivisionError:
        expected = None
    assert come_to(text) == expected


@given(st.text() | st.text("0123456789+-*/(). x%$^,abe"))
def test_any_text_is_read_without_an_error(text: str) -> None:
    tree = arithmetic.read(text)
    if tree is not None:
        arithmetic.value(tree)
        assert all(
            isinstance(node, ast.expr | ast.operator | ast.unaryop | ast.expr_context) for node in ast.walk(tree)
        )


class _Exact(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Call(ast.Name("Fraction", ast.Load()), [ast.Constant(repr(node.value))], [])
