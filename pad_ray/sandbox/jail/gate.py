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
import re
import sys
from collections.abc import Iterable
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
_IMPORT = dis.opmap["IMPORT_NAME"]
_STAR = ("*",)
"""Told by its constant: what `import *` compiles to is another thing in every version of Python."""


def _any_of(*operations: str) -> re.Pattern[bytes]:
    # A version may lack one, or know it only while it compiles (over 255).
    known = bytes(dis.opmap[name] for name in operations if dis.opmap.get(name, 256) < 256)
    return re.compile(b"[" + re.escape(known) + b"]")


_ESCAPES = _any_of("STORE_ATTR", "DELETE_ATTR", "LOAD_BUILD_CLASS", "MATCH_CLASS")
_IMPORTS = _any_of("IMPORT_NAME")
_NAMED = _any_of("IMPORT_NAME", "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM")


class Gate:
    """Decides for one interpreter; built after its last import, since every loaded name counts as a door."""

    def __init__(self, modules: frozenset[str]) -> None:
        self._modules = modules
        self._builtins = frozenset(dir(builtins)) - _SAFE_BUILTINS
        self._suspicious = frozenset(_every_known_name()) - _harmless_names(modules) | _DOORS

    def may_share(self, code: CodeType) -> bool:
        """Whether this program may run in a child that other programs share."""
        operations, names = code.co_code[::2], code.co_names
        if len(operations) > MAX_INSTRUCTIONS or _ESCAPES.search(operations) or "__" in " ".join(names):
            return False
        for constant in code.co_consts:
            if not (self.may_share(constant) if type(constant) is CodeType else _harmless_text(constant)):
                return False
        if self._suspicious.isdisjoint(names):
            return _IMPORT not in operations or self._harmless_uses(code, _IMPORTS.finditer(operations))
        return self._builtins.isdisjoint(names) and self._harmless_uses(code, _NAMED.finditer(operations))

    def _harmless_uses(self, code: CodeType, uses: Iterable[re.Match[bytes]]) -> bool:
        """Imports only harmless modules, and uses suspicious names only for variables: `total = 3` opens no door."""
        names, words = code.co_names, code.co_code
        for use in uses:
            place = 2 * use.start()
            argument, prefix, shift = words[place + 1], place - 2, 8
            while prefix >= 0 and words[prefix] == dis.EXTENDED_ARG:
                argument |= words[prefix + 1] << shift
                prefix, shift = prefix - 2, shift + 8
            if words[place] == _IMPORT:
                if names[argument] not in self._modules:
                    return False
            # Versions of Python keep flags in the lowest bits: whichever name it may be, it must be harmless.
            elif any(names[i] in self._suspicious for i in (argument, argument >> 1, argument >> 2) if i < len(names)):
                return False
        return True


def _harmless_text(constant: Any) -> bool:
    """No dunder in a text, nor in one within a tuple; no star import, whose names nobody could see."""
    if type(constant) is str:
        return "__" not in constant
    if type(constant) not in (tuple, frozenset):
        return True
    return constant != _STAR and all(map(_harmless_text, cast("tuple[Any, ...]", constant)))


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
