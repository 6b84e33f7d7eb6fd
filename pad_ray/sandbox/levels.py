"""How strong a sandbox is, from what its layers really do: `strict`, `degraded` or `unsafe`. Never a silent downgrade.

strict     a sealed process, limits and seccomp are active, and Landlock wherever the kernel has it
degraded   seccomp is missing, or the kernel has Landlock and it is not active
unsafe     both are missing, or the process is not sealed, or the limits do not hold

The language layer never counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from pad_ray.errors import SandboxError, UsageError

LEVELS = ("unsafe", "degraded", "strict")
ACTIVE, ABSENT = "active", "absent"


def reached(layers: Mapping[str, str]) -> str:
    """The level that these layer states amount to."""
    if layers["process"] != ACTIVE or layers["limits"] != ACTIVE:
        return "unsafe"
    if layers["seccomp"] == ACTIVE:
        return "strict" if layers["landlock"] in (ACTIVE, ABSENT) else "degraded"
    return "degraded" if layers["landlock"] == ACTIVE else "unsafe"


def known(level: str) -> str:
    """The level itself. Raises UsageError for a word that is none."""
    if level not in LEVELS:
        raise UsageError(f"sandbox level {level!r} does not exist.", hint=f"Use one of {', '.join(reversed(LEVELS))}.")
    return level


def require(level: str, layers: Mapping[str, str]) -> str:
    """The level reached. Raises SandboxError, naming the missing layers and why, if it is below `level`."""
    got = reached(layers)
    if LEVELS.index(got) >= LEVELS.index(level):
        return got
    missing = "; ".join(
        f"{name}: {layers[name]}"
        for name in ("process", "limits", "seccomp", "landlock")
        if layers[name] != ACTIVE and not (name == "landlock" and layers[name] == ABSENT and got != "unsafe")
    )
    raise SandboxError(
        f"The sandbox reaches only level {got!r}, and {level!r} is asked for. Missing: {missing}.",
        hint=f"Allow seccomp and Landlock for this process, or accept the risk with level {got!r}.",
    )
