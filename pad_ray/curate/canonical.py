"""One form for every training target: `solution()` without arguments, whatever the teacher called it.

Default arguments become assignments; docstrings, comments, annotations, prints at module level and main guards go.
A rewrite may change what a program does, so the caller executes the result again before it trusts it.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

_ANSWER_VARIABLES = ("ans", "answer", "result")
_NONDETERMINISTIC_MODULES = frozenset({"random", "time", "secrets", "uuid"})
_NONDETERMINISTIC_CALLS = frozenset({"now", "today", "utcnow", "time"})


class Rewrite(NamedTuple):
    """A canonical program, or the reason why there is none."""

    program: str
    """Source text ending in a newline, or empty."""
    reason: str
    """Empty, `unparseable`, `needs_arguments`, `no_entry` or `nondeterministic`."""


def canonicalise(program: str, entry: str = "") -> Rewrite:
    """Rewrite a program so that `solution()` returns what its entry (a function or a variable) gave."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Rewrite("", "unparseable")
    if _nondeterministic(tree):
        return Rewrite("", "nondeterministic")
    function = _entry_function(tree, entry)
    if function is None:
        variable = _entry_variable(tree, entry)
        if variable is None:
            return Rewrite("", "no_entry")
        body = _wrapped(tree, variable)
    elif _needs_arguments(function):
        return Rewrite("", "needs_arguments")
    else:
        body = _with_function(tree, function)
    module = _Tidy().visit(ast.Module(body=body, type_ignores=[]))
    return Rewrite(ast.unparse(ast.fix_missing_locations(module)) + "\n", "")


def _entry_function(tree: ast.Module, entry: str) -> ast.FunctionDef | None:
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if entry in functions:
        return functions[entry]
    if "solution" in functions:
        return functions["solution"]
    # Whatever it is called, a lone function is meant, unless the answer stands in a variable.
    lone = next(iter(functions.values())) if len(functions) == 1 else None
    return lone if _entry_variable(tree, entry) is None else None


def _entry_variable(tree: ast.Module, entry: str) -> str | None:
    assigned = _assigned(tree)
    return next((name for name in (entry, *_ANSWER_VARIABLES) if name in assigned), None)


def _assigned(tree: ast.Module) -> set[str]:
    targets = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return targets & {name for node in tree.body for name in _names_stored(node)}


def _names_stored(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return set()
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _needs_arguments(function: ast.FunctionDef) -> bool:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    keyword_missing = any(default is None for default in arguments.kw_defaults)
    recursive = any(isinstance(node, ast.Name) and node.id == function.name for node in ast.walk(function))
    taken = bool(positional or arguments.kwonlyargs)
    return len(positional) > len(arguments.defaults) or keyword_missing or (recursive and taken)


def _with_function(tree: ast.Module, function: ast.FunctionDef) -> list[ast.stmt]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(positional, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    assignments = [_assign(argument.arg, value) for argument, value in pairs if value is not None]
    solution = _function([*assignments, *_without_docstring(function.body)])
    kept = [node for node in tree.body if node is not function and _is_context(node, function.name)]
    return [_Rename(function.name).visit(node) for node in (*kept, solution)]


def _wrapped(tree: ast.Module, variable: str) -> list[ast.stmt]:
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    rest = [node for node in tree.body if node not in imports and not _is_noise(node)]
    answer = ast.Return(ast.Name(variable, ast.Load()))
    return [*imports, _function([*rest, answer])]


def _is_context(node: ast.stmt, entry: str) -> bool:
    """Imports, helpers and constants stay; whatever prints, guards or calls the entry goes."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
        return True
    calls_entry = any(isinstance(part, ast.Name) and part.id == entry for part in ast.walk(node))
    return not calls_entry and not _is_noise(node)


def _is_noise(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) or (isinstance(node, ast.If) and "__name__" in ast.dump(node.test))


def _nondeterministic(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name in _NONDETERMINISTIC_MODULES for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and node.module in _NONDETERMINISTIC_MODULES:
            return True
        if isinstance(node, ast.Attribute) and node.attr in _NONDETERMINISTIC_CALLS:
            return True
    return False


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign(targets=[ast.Name(name, ast.Store())], value=value)


def _function(body: list[ast.stmt]) -> ast.stmt:
    empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return ast.FunctionDef(name="solution", args=empty, body=body or [ast.Pass()], decorator_list=[], returns=None)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_docstring = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return body[1:] if is_docstring else body


class _Rename(ast.NodeTransformer):
    """Give the entry function's name its canonical spelling wherever it is used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("solution", node.ctx) if node.id == self.name else node


class _Tidy(ast.NodeTransformer):
    """Drop annotations and docstrings wherever they are."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = _without_docstring(node.body) or [ast.Pass()]
        node.returns = None
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign(targets=[node.target], value=node.value) if node.value is not None else None
