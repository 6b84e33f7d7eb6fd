"""Who may share a child: programs that provably cannot touch what their neighbours use.

Read from the compiled code, before anything runs: only known harmless names, no writing to attributes, no dunder, only
modules without state. A false alarm costs speed (the program gets a child of its own), never a verdict. This protects
neighbours from each other and nothing else.
"""

from __future__ import annotations

import builtins
import datetime
import dis
import fractions
import itertools
import math
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, cast

MAX_INSTRUCTIONS = 4000
_SAFE_BUILTINS = frozenset({
    "AssertionError", "Exception", "False", "IndexError", "KeyError", "None", "OverflowError", "True",
    "TypeError", "ValueError", "ZeroDivisionError", "abs", "all", "any", "bool", "bytes", "chr", "complex",
    "dict", "divmod", "enumerate", "filter", "float", "format", "frozenset", "hash", "hex", "input", "int",
    "isinstance", "iter", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow", "print", "range",
    "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
})  # fmt: skip
_SAFE_TYPES: tuple[type, ...] = (
    int, float, str, list, dict, set, frozenset, tuple, range, complex, fractions.Fraction, datetime.date,
    datetime.datetime, datetime.timedelta, datetime.time, itertools.chain,
)  # fmt: skip
_DOORS = frozenset({"sys", "os", "format_map", "now", "today", "utcnow"})
_VARIABLE_OPERATIONS = frozenset(
    {
        "LOAD_NAME",
        "STORE_NAME",
        "DELETE_NAME",
        "LOAD_GLOBAL",
        "STORE_GLOBAL",
        "DELETE_GLOBAL",
        "LOAD_FROM_DICT_OR_GLOBALS",
    }
)
_ESCAPES = tuple(
    dis.opmap[name] for name in ("STORE_ATTR", "DELETE_ATTR", "IMPORT_STAR", "LOAD_BUILD_CLASS") if name in dis.opmap
)
_IMPORT = dis.opmap["IMPORT_NAME"]


class Gate:
    """Decides for one interpreter; built after its last import, since every loaded name counts as a door."""

    def __init__(self, modules: frozenset[str]) -> None:
        self._modules = modules
        self._builtins = frozenset(dir(builtins)) - _SAFE_BUILTINS
        self._suspicious = frozenset(_every_known_name()) - _harmless_names(modules) | _DOORS

    def may_share(self, code: CodeType) -> bool:
        """Whether this program may run in a child that other programs share."""
        return all(self._harmless(part) for part in _parts(code))

    def _harmless(self, code: CodeType) -> bool:
        operations = code.co_code[::2]
        if len(operations) > MAX_INSTRUCTIONS or any(escape in operations for escape in _ESCAPES):
            return False
        names = code.co_names
        if any("__" in name for name in names) or any(_has_dunder(constant) for constant in code.co_consts):
            return False
        if _IMPORT in operations and not self._modules.issuperset(_imported(code)):
            return False
        return self._suspicious.isdisjoint(names) or self._only_variables(code)

    def _only_variables(self, code: CodeType) -> bool:
        """Suspicious names are harmless as the program's own variables: `total = 3` is no attribute of anything."""
        if not self._builtins.isdisjoint(code.co_names):
            return False
        return all(
            instruction.opname in _VARIABLE_OPERATIONS
            for instruction in dis.get_instructions(code)
            if instruction.opcode in _NAMED and instruction.argval in self._suspicious
        )


_NAMED = frozenset(dis.hasname)


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _parts(constant)


def _imported(code: CodeType) -> Iterator[str]:
    """Names of the modules that the IMPORT_NAME instructions ask for."""
    words, extended = code.co_code, 0
    for place in range(0, len(words), 2):
        operation, argument = words[place], words[place + 1] | extended
        extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
        if operation == _IMPORT:
            yield code.co_names[argument]


def _has_dunder(constant: Any) -> bool:
    if type(constant) is str:
        return "__" in constant
    return type(constant) in (tuple, frozenset) and any(map(_has_dunder, cast("tuple[Any, ...]", constant)))


def _harmless_names(modules: frozenset[str]) -> frozenset[str]:
    names = set(_SAFE_BUILTINS | modules)
    for owner in (*_SAFE_TYPES, math, datetime, fractions, itertools):
        names |= {name for name in getattr(owner, "__all__", dir(owner)) if not name.startswith("_")}
    return frozenset(names)


def _every_known_name() -> set[str]:
    """Every attribute of every loaded module and type: whatever leads somewhere."""
    names = set(dir(builtins))
    for module in list(sys.modules.values()):
        names |= set(getattr(module, "__dict__", ()))
    waiting: list[type] = [object]
    seen: set[type] = set()
    while waiting:
        kind = waiting.pop()
        if kind not in seen:
            seen.add(kind)
            names |= set(vars(kind))
            waiting += type.__subclasses__(kind)
    return names
