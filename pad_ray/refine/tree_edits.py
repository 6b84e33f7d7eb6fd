"""Ways to break a program so that it still parses: single edits of its syntax tree, after errors that students make."""

from __future__ import annotations

import ast
import builtins
import keyword
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from pad_ray.syntax import fingerprint

Edit = Callable[[], object]
"""Changes, when called, one place of the tree that it was made for."""

_OTHER_SIGN: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
}
_ORDERED = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
"""Operators whose operands cannot change places."""
_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)


def with_edits(program: str, operator: str, generator: random.Random, edits: int) -> str | None:
    """The program after so many edits of one operator (fewer where it has no more places), None if it has no place.

    It parses, and its syntax tree is not the one it had.
    """
    original = fingerprint(program)
    text: str | None = None
    for _ in range(edits):
        text = _with_edit(text or program, operator, generator, original) or text
    return text


def _with_edit(program: str, operator: str, generator: random.Random, original: str) -> str | None:
    kinds = _KINDS[operator]
    # The kind is drawn first, so that one with many places does not crowd out the others.
    for kind in generator.sample(kinds, len(kinds)):
        count = len(kind(ast.parse(program)))
        for number in generator.sample(range(count), count):
            tree = ast.parse(program)
            kind(tree)[number]()
            text = ast.unparse(tree) + "\n"
            # A second edit may take back the first.
            if fingerprint(text) != original:
                return text
    return None


def _misspelt(tree: ast.Module) -> list[Edit]:
    """A variable is read by a name like its own, which nothing has."""
    bound = _bound(tree)
    taken = {*vars(builtins), *bound, *(node.id for node in _nodes(tree) if isinstance(node, ast.Name))}
    return [
        partial(setattr, node, "id", name)
        for node in _nodes(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in bound
        for name in _similar(node.id)
        if name not in taken
    ]


def _forgotten(tree: ast.Module) -> list[Edit]:
    """The only assignment to a variable that is read is gone."""
    bound, edits = _bound(tree), list[Edit]()
    for body in _bodies(tree):
        for place, statement in enumerate(body):
            name = _assigned(statement)
            if len(body) > 1 and bound[name] == 1 and _reads(tree, name) and not hasattr(builtins, name):
                edits.append(partial(body.pop, place))
    return edits


def _late(tree: ast.Module) -> list[Edit]:
    """The first assignment to a variable of a function stands below the first statement that reads it."""
    first: dict[str, int] = {}
    for node in _nodes(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            first[node.id] = min(node.lineno, first.get(node.id, node.lineno))
    edits: list[Edit] = []
    for body in _bodies(tree):
        for place, statement in enumerate(body):
            name = _assigned(statement)
            # What stands outside of functions is no local variable.
            if name and body is not tree.body and first[name] == statement.lineno:
                reading = (below for below in range(place + 1, len(body)) if _reads(body[below], name))
                edits += [partial(_move, body, place, below) for below in [*reading][:1]]
    return edits


def _quoted(tree: ast.Module) -> list[Edit]:
    """A number is a text."""
    return [partial(setattr, node, "value", str(value)) for node, value in _numbers(tree)]


def _zeros(tree: ast.Module) -> list[Edit]:
    """A divisor is 0: the number that divides, or the one that the dividing variable was given."""
    bound = _bound(tree)
    given = {
        name: node.value
        for node in _nodes(tree)
        if isinstance(node, ast.Assign) and (name := _assigned(node)) and bound[name] == 1
    }
    divisors: set[int] = set()
    for node in _nodes(tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, _DIVISIONS):
            by = node.right if isinstance(node, ast.BinOp) else node.value
            divisors.add(id(given.get(by.id, by) if isinstance(by, ast.Name) else by))
    return [partial(setattr, node, "value", 0) for node, value in _numbers(tree) if id(node) in divisors and value]


def _other_signs(tree: ast.Module) -> list[Edit]:
    """Another operator stands between the same operands."""
    return [
        partial(setattr, node, "op", _OTHER_SIGN[type(node.op)]())
        for node in _nodes(tree)
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OTHER_SIGN
    ]


def _swapped(tree: ast.Module) -> list[Edit]:
    """Two operands have changed places where that matters."""
    return [
        partial(_swap, node) for node in _nodes(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, _ORDERED)
    ]


def _other_numbers(tree: ast.Module) -> list[Edit]:
    """A number is one more or less, or ten times as much or as little."""
    edits: list[Edit] = []
    for node, value in _numbers(tree):
        others = [value + 1, value - 1, value * 10, value // 10 if isinstance(value, int) else value / 10]
        # A literal has no sign, and 0 is another error. Nobody writes what comes of 0.07 * 10 without rounding.
        edits += [partial(setattr, node, "value", round(other, 12)) for other in others if 0 < other != value]
    return edits


_KINDS: dict[str, tuple[Callable[[ast.Module], list[Edit]], ...]] = {
    "name_error": (_misspelt, _forgotten),
    "unbound_local": (_late,),
    "type_error": (_quoted,),
    "zero_division": (_zeros,),
    "wrong_value": (_other_signs, _swapped, _other_numbers),
}
"""Kinds of edits by operator. Each lists all its places in a tree, in the order of the tree."""


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes from the outside in, but those in f-strings, whose quotes an edit could break."""
    waiting = [tree]
    for node in waiting:
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.JoinedStr)]


def _bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """All lists of statements."""
    for node in _nodes(tree):
        for name in ("body", "orelse", "finalbody"):
            # The body of a lambda is an expression.
            if isinstance(body := getattr(node, name, None), list):
                yield body


def _bound(tree: ast.Module) -> Counter[str]:
    """How often each name is given a meaning."""
    found = Counter[str]()
    for node in _nodes(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] += 1
        elif isinstance(node, ast.arg):
            found[node.arg] += 1
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] += 1
        elif isinstance(node, ast.alias):
            found[(node.asname or node.name).partition(".")[0]] += 1
    return found


def _assigned(statement: ast.stmt) -> str:
    """The variable that a plain assignment gives a value, or empty."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return ""
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else ""


def _reads(part: ast.AST, name: str) -> bool:
    """Whether a variable is read, also by adding to it."""
    return any(
        (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id == name)
        or (isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name)
        for node in _nodes(part)
    )


def _numbers(tree: ast.Module) -> list[tuple[ast.Constant, int | float]]:
    """The numbers that are written down; True and False are none."""
    constants = [node for node in _nodes(tree) if isinstance(node, ast.Constant) and not isinstance(node.value, bool)]
    return [(node, node.value) for node in constants if isinstance(node.value, int | float)]


def _similar(name: str) -> list[str]:
    """Names that somebody might take for this one: a word less, one or many, a word more."""
    words = name.split("_")
    shorter = ["_".join([*words[:place], *words[place + 1 :]]) for place in range(len(words))]
    names = [*shorter, name[:-1] if name.endswith("s") else f"{name}s", f"total_{name}"]
    return [other for other in names if other.isidentifier() and not keyword.iskeyword(other)]


def _move(body: list[ast.stmt], place: int, below: int) -> None:
    body.insert(below, body.pop(place))


def _swap(node: ast.BinOp) -> None:
    node.left, node.right = node.right, node.left
