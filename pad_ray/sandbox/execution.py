"""What became of one program: the record that `Sandbox.run` returns."""

from __future__ import annotations

from dataclasses import dataclass

from pad_ray.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Execution:
    """The end of one program's run."""

    outcome: Outcome
    """`ok` where it gave a value; no gold answer is known here."""
    value: str = ""
    """The value as canonical text, or empty."""
    detail: str = ""
    """Exception type and message, the forbidden thing, the signal, which time ran out…"""
    seconds: float = 0.0
    """Wall time the program ran."""
