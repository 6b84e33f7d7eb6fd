"""Other ways to run a program, for comparison with the sandbox: none of them protects from a hostile one.

`bare` protects from nothing. A fresh interpreter and a process of its own protect the caller's memory from accidents.
smolagents interprets the syntax tree in the caller's process; its documentation says that this is no security boundary.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from programs import Program

SECONDS = 30
_MODULES = ["math", "datetime", "fractions", "itertools"]
_ANSWERS = ("ans", "answer", "result")


def bare(programs: Sequence[Program]) -> None:
    """compile + exec + call in this process: the reference."""
    with contextlib.redirect_stdout(io.StringIO()):
        for program in programs:
            _answer(program)


def fresh_interpreter(programs: Sequence[Program]) -> None:
    """`python -c` for each program."""
    for source, entry in programs:
        tail = f"\nfound = globals().get({entry or 'solution'!r})\nprint(found() if callable(found) else found)"
        subprocess.run([sys.executable, "-c", source + tail], check=True, capture_output=True, timeout=SECONDS)


def process_and_queue(programs: Sequence[Program]) -> None:
    """A forked `multiprocessing.Process` for each program, whose answer comes through a queue."""
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue()
    for program in programs:
        process = context.Process(target=_put_answer, args=(program, queue))
        process.start()
        queue.get(timeout=SECONDS)
        process.join()
    queue.close()


def smolagents() -> Callable[[Sequence[Program]], None] | None:
    """smolagents' LocalPythonExecutor, a new one for each program; None where it is not installed."""
    try:
        from smolagents.local_python_executor import LocalPythonExecutor
    except ImportError:
        return None

    def run(programs: Sequence[Program]) -> None:
        for source, entry in programs:
            executor = LocalPythonExecutor(additional_authorized_imports=_MODULES)
            executor.send_tools({})
            name = entry or "solution"
            executor(f"{source}\n{name}()" if f"def {name}(" in source else source)

    return run


def _answer(program: Program) -> Any:
    names: dict[str, Any] = {}
    exec(compile(program.source, "<program>", "exec"), names)
    for name in (program.entry or "solution", *_ANSWERS):
        if name in names:
            return names[name]() if callable(names[name]) else names[name]
    return None


def _put_answer(program: Program, queue: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        queue.put(str(_answer(program)))
