"""How figures are written for people, the same in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def percent(share: float) -> str:
    """0.2333 → `23.3 %`."""
    return f"{100 * share:.1f} %"


def interval(ci95: Sequence[float]) -> str:
    """[0.132, 0.35] → `13.2 – 35.0`."""
    low, high = ci95
    return f"{100 * low:.1f} – {100 * high:.1f}"


def points(difference: float) -> str:
    """Difference of two shares, in percentage points with its sign: 0.2167 → `+21.7`."""
    return f"{100 * difference:+.1f}"


def points_interval(ci95: Sequence[float]) -> str:
    """Interval of a difference: [0.1, 0.25] → `+10.0 to +25.0`."""
    low, high = ci95
    return f"{points(low)} to {points(high)}"


def p_value(p: float | None) -> str:
    """A probability with as many digits as it deserves; a dash where there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def counted(counts: Mapping[str, int]) -> str:
    """{"syntax_error": 2, "ok": 1117} → `1,117 ok, 2 syntax error`."""
    largest_first = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in largest_first)


def steps(training: Mapping[str, Any]) -> str:
    """Optimizer steps of an arm of a study: `33`, or `41, 8 of them on pairs`."""
    on_pairs = f", {training['steps_on_pairs']:,} of them on pairs" if training["steps_on_pairs"] else ""
    return f"{training['steps']:,}{on_pairs}"


def count(number: int | None) -> str:
    """1117 → `1,117`; a dash for what was not counted."""
    return "–" if number is None else f"{number:,}"


def value(found: Any) -> str:
    """A value of any shape on one line: `ray 2.60.0, torch 2.13.0`, `12.5`; a dash for None."""
    if isinstance(found, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {value(inner)}" for key, inner in found.items())
    if isinstance(found, list | tuple):
        return ", ".join(value(inner) for inner in found)
    if found is None:
        return "–"
    if isinstance(found, float):
        return f"{found:,.1f}"
    return f"{found:,}" if isinstance(found, int) and not isinstance(found, bool) else str(found)


def duration(seconds: float) -> str:
    """75.2 → `1 min 15 s`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.1f} s"


def clipped(text: str, limit: int) -> str:
    """The text, cut with an ellipsis when it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
