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
_ATTRIBUTE_OPERATIONS = frozenset(
    dis.opmap[name] for name in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM") if name in dis.opmap
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
        operations, names = code.co_code[::2], code.co_names
        if len(operations) > MAX_INSTRUCTIONS or any(escape in operations for escape in _ESCAPES):
            return False
        if "__" in " ".join(names) or any(_has_dunder(constant) for constant in code.co_consts):
            return False
        known = self._suspicious.isdisjoint(names)
        if known and _IMPORT not in operations:
            return True
        return (known or self._builtins.isdisjoint(names)) and self._harmless_uses(code)

    def _harmless_uses(self, code: CodeType) -> bool:
        """Imports only harmless modules, and uses suspicious names only for variables: `total = 3` opens no door."""
        names, words, extended = code.co_names, code.co_code, 0
        for place in range(0, len(words), 2):
            operation, argument = words[place], words[place + 1] | extended
            extended = argument << 8 if operation == dis.EXTENDED_ARG else 0
            if operation == _IMPORT and names[argument] not in self._modules:
                return False
            if operation in _ATTRIBUTE_OPERATIONS:
                # Versions of Python keep flags in the lowest bits: whichever name it may be, it must be harmless.
                possible = {names[index] for index in (argument, argument >> 1, argument >> 2) if index < len(names)}
                if not self._suspicious.isdisjoint(possible):
                    return False
        return True


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield from _parts(constant)


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
