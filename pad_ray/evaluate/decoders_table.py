"""The one table of a comparison of decoders: for the terminal, and as Markdown for a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from pad_ray.evaluate.wording import interval, percent, points, points_interval

COLUMNS = (
    "suite",
    "decoder",
    "correct",
    "accuracy",
    "95 % interval",
    "tokens a question",
    "points over greedy",
    "points over a vote of as many tokens",
)


def cells(row: Mapping[str, Any]) -> list[str]:
    """One row of decoders.json as text, in the order of COLUMNS; a dash where there is nothing to compare with."""
    return [
        row["suite"],
        row["decoder"],
        f"{row['correct']}/{row['n']}",
        percent(row["accuracy"]),
        interval(row["ci95"]),
        f"{row['tokens']:,.0f}",
        _difference(row.get("greedy")),
        _difference(row.get("equal"), named=True),
    ]


def decoders_table(found: Mapping[str, Any]) -> Table:
    """The rows of decoders.json for a rich console."""
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if place < 2 else "right", overflow="fold")
    for row in found["rows"]:
        table.add_row(*map(Text, cells(row)))
    return table


def markdown(found: Mapping[str, Any]) -> str:
    """The same as a Markdown table, with what was measured above it."""
    asked = f"the first {found['limit']} questions of each suite" if found["limit"] else "all questions"
    lenient = ", numbers rounded" if found["match"] == "rounded" else ""
    head = f"{found['student']}, {asked}{lenient}, seed {found['seed']}; differences are paired, with 95 % intervals."
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in found["rows"]]
    return "\n".join([head, "", *lines, ""])


def _difference(pair: Mapping[str, Any] | None, *, named: bool = False) -> str:
    if pair is None:
        return "–"
    against = f" ({pair['decoder']}: {pair['tokens']:,.0f} tokens)" if named else ""
    return f"{points(pair['difference'])} [{points_interval(pair['ci95'])}]{against}"
