"""Running one program: compile, execute, call its entry, and say what became of it.

The caller has armed the timers; whatever the program breaks here, it breaks in its own child.
"""

from __future__ import annotations

import builtins
import random
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any, NamedTuple

from . import frames, language, values
from .gate import Gate

DEFAULT_ENTRY = "solution"
DEFAULT_VARIABLES = ("ans", "answer", "result")
MAX_MESSAGE = 120
_MAX_BITS = 400  # no longer key would fit the message
_REFUSALS = (1, 13)  # EPERM, EACCES
_BUILTIN_ERRORS = frozenset(
    kind for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, BaseException)
)
_type_name: Callable[[type], str] = type.__dict__["__name__"].__get__


class Ending(NamedTuple):
    """Outcome, canonical value and detail of one program."""

    outcome: str
    value: str
    detail: str


_OUT_OF_MEMORY = Ending("memory", "", "")


class Interpreter:
    """Runs programs in this process, with what it may import and who may share."""

    def __init__(self, modules: frozenset[str], shared_modules: frozenset[str], *, restricted: bool) -> None:
        self._gate = Gate(shared_modules)
        self._builtins = language.program_builtins(modules | language.LATE, restricted=restricted)
        self._shared_builtins = language.program_builtins(shared_modules | language.LATE, restricted=True)
        self._reseed = [random.seed]
        if "numpy" in sys.modules:
            self._reseed.append(sys.modules["numpy"].random.seed)

    def run(self, program: str, entry: str, *, shared: bool) -> Ending:
        """What becomes of one program; with `shared`, one that the gate keeps out is not run (`alone`)."""
        printed = language.Printed()
        sys.stdout = sys.stderr = printed
        names: dict[str, Any] = {}
        try:
            code = compile(program, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError) as error:
            return Ending("syntax_error", "", _name_and_message(error))
        except MemoryError as error:
            return _describe(error)
        if shared and not self._gate.may_share(code):
            return Ending(frames.ALONE, "", "")
        try:
            ending = self._execute(code, entry, names, shared)
        except BaseException as error:
            ending = _describe(error)
        try:
            names.clear()  # its destructors run on its own time, not on a neighbour's
        except BaseException as error:
            ending = _describe(error)
        return Ending("output_limit", "", "") if printed.overflowed else ending

    def _execute(self, code: CodeType, entry: str, names: dict[str, Any], shared: bool) -> Ending:
        # No copy, which would touch every builtin: some fifty page faults in each child that runs one program.
        names["__builtins__"] = self._shared_builtins if shared else self._builtins
        if not shared:
            for reseed in self._reseed:
                reseed(0)
        names["__name__"] = "__program__"
        exec(code, names)
        try:
            return Ending("ok", values.canonical(_answer(names, entry)), "")
        except values.NoAnswer as reason:
            return Ending("no_answer", "", str(reason))


def _answer(names: dict[str, Any], entry: str) -> Any:
    """The value of the named entry, or by default of `solution()`, else of the first answer variable.

    Teachers number their functions: where `solve` is asked for and only `solve_7` is there, that is the entry.
    """
    candidates = (DEFAULT_ENTRY, *DEFAULT_VARIABLES) if entry in ("", DEFAULT_ENTRY) else (entry,)
    present = [name for name in candidates if name in names]
    if not present:
        present = [name for name in names if name.startswith(f"{entry}_") and name[len(entry) + 1 :].isdigit()]
    if len(present) == 1 or (present and present[0] in candidates):
        found = names[present[0]]
        return found() if callable(found) else found
    raise values.NoAnswer(f"missing: the program defines no {' or '.join(candidates)}")


def _describe(error: BaseException) -> Ending:
    """Outcome of an exception, without ever calling code that the exception brings along."""
    kind = type(error)
    if kind is MemoryError:
        return _OUT_OF_MEMORY
    if kind is language.OutputLimit:
        return Ending("output_limit", "", "")
    try:
        if kind is language.ForbiddenImport or kind is language.ForbiddenOpen:
            return Ending("forbidden", "", _text(error.args[-1:]))
        if kind is PermissionError and error.args and type(error.args[0]) is int and error.args[0] in _REFUSALS:
            return Ending("forbidden", "", "a system call")
        return Ending("runtime_error", "", _name_and_message(error))
    except MemoryError:  # what the program filled its memory with is still there
        return _OUT_OF_MEMORY


def _name_and_message(error: BaseException) -> str:
    name, message = _safe_name(type(error)), _message(error)
    return f"{name}: {message}" if message else name


def _safe_name(kind: type) -> str:
    name = str.__str__(_type_name(kind))
    return "".join(letter for letter in name if letter.isalnum() or letter == "_")[:48]


def _message(error: BaseException) -> str:
    """The interpreter's own message; '' for a class that is not its own, whose text would be foreign code."""
    kind = type(error)
    if kind not in _BUILTIN_ERRORS or not error.args:
        return ""
    first = error.args[0]
    if isinstance(error, SyntaxError) and type(first) is str and type(error.lineno) is int:
        return f"{first[:MAX_MESSAGE]} (line {error.lineno})"
    if kind is KeyError and (type(first) in (str, float) or (type(first) is int and first.bit_length() < _MAX_BITS)):
        return repr(first)[:MAX_MESSAGE]
    return _text(error.args[1:2] if isinstance(error, OSError) and len(error.args) > 1 else error.args[:1])


def _text(arguments: tuple[object, ...]) -> str:
    first = arguments[0] if arguments else None
    return first[:MAX_MESSAGE] if type(first) is str else ""
