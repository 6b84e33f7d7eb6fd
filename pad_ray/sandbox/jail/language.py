"""The language a program meets: which modules it may import, no files, no input, a bounded standard output.

This gives good labels (`forbidden: import socket` instead of a bare refusal) and stops accidents. It is no boundary and
no level counts on it: the kernel is the boundary.
"""

from __future__ import annotations

import builtins
import io
import sys
from types import ModuleType
from typing import Any, NoReturn

MODULES = (
    "__future__", "abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "copy",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools", "json", "math",
    "numbers", "operator", "random", "re", "statistics", "string", "textwrap", "time", "typing", "unicodedata",
)  # fmt: skip
"""Importable by programs. All are loaded before the lock-down: afterwards nothing can be read from disk."""
HIDDEN_HELPERS = (
    "_strptime", "encodings.ascii", "encodings.latin_1", "encodings.utf_8", "encodings.idna", "locale", "dis"
)  # fmt: skip
"""What the standard library imports late, behind a program's back."""
LATE = frozenset({"time", "_strptime"})
"""What datetime's compiled code imports while it formats and parses, by way of the running program's `__import__`."""
SCIENCE = ("numpy", "sympy")
SHARED_MODULES = frozenset({"math", "datetime", "fractions", "itertools"})
"""Modules without state that a neighbour could change through the names the gate lets pass."""
TEST_MODULES = ("asyncio", "ctypes", "linecache", "multiprocessing", "os", "shutil", "signal", "socket", "subprocess")
"""Loaded for tests that switch this layer off: all an attacker wishes for, so that only the kernel says no."""
MAX_OUTPUT = 65_536
_ABSENT = ("breakpoint", "help", "exit", "quit", "copyright", "credits", "license")


class OutputLimit(BaseException):
    """The program printed too much. Not an Exception, so that a program's own handlers rarely hide it."""


class ForbiddenImport(ImportError):
    """The module exists, and programs may not have it."""


class ForbiddenOpen(PermissionError):
    """Programs have no files."""


class Printed(io.TextIOBase):
    """Standard output: counted, dropped, and cut off at its limit."""

    def __init__(self) -> None:
        self.size = 0

    @property
    def overflowed(self) -> bool:
        """Whether the limit was passed, even if the program swallowed the exception."""
        return self.size > MAX_OUTPUT

    def write(self, text: str, /) -> int:
        """Count the text; raises OutputLimit past the limit."""
        self.size += len(text)
        if self.size > MAX_OUTPUT:
            raise OutputLimit
        return len(text)


def program_builtins(modules: frozenset[str], *, restricted: bool) -> dict[str, Any]:
    """Builtins of a program that may import `modules`; unrestricted only when a test switches the layer off."""
    names = dict(vars(builtins))
    for name in _ABSENT:
        names.pop(name, None)
    if restricted:
        names |= {"__import__": _importer(modules), "open": _no_open}
    names["input"] = _no_input
    return names


def _importer(modules: frozenset[str]) -> Any:
    load, on_disk, standard = builtins.__import__, sys.modules, sys.stdlib_module_names

    def program_import(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        top = name.partition(".")[0]
        if top in modules:
            return load(name, globals, locals, fromlist, level)
        if top in standard or top in on_disk:
            raise ForbiddenImport(f"import {top[:60]}")
        raise ModuleNotFoundError(f"No module named {top[:60]!r}")

    return program_import


def _no_open(*_: Any, **__: Any) -> NoReturn:
    raise ForbiddenOpen(1, "open")


def _no_input(*_: Any) -> NoReturn:
    raise EOFError("EOF when reading a line")
