"""Where text for people goes: the one place that makes rich consoles, and what makes foreign text safe to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000
"""Columns of a file or a pipe: nothing is wrapped that somebody may want to search or to copy."""


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; without one, wide enough that no line is ever wrapped."""
    from rich.console import Console

    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = WIDE
    return made


def printable(text: str) -> str:
    """The text with its control characters spelled out: replies of strangers must not steer the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)
