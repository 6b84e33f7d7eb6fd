"""The report's pictures: small inline SVGs that follow the page's text colour, in light and dark.

Drawn without pyplot, so that nothing global is touched. Labels stay text: the page's font and zoom apply to them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pad_ray.evaluate.folder import UNTRAINED, Measurement
from pad_ray.outcomes import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 5.4  # inches: at 72 points each, close to a phone's width, so that text is not scaled down there
INK = "#010203"  # stands for the page's text colour

COLOURS = {
    Outcome.CORRECT: "#2f9e63",
    Outcome.OK: "#8ccfa8",
    Outcome.WRONG_ANSWER: "#e8a33d",
    Outcome.UNDECIDED: "#f2cf8b",
    Outcome.NO_ANSWER: "#c9b458",
    Outcome.SYNTAX_ERROR: "#a3345b",
    Outcome.RUNTIME_ERROR: "#d1495b",
    Outcome.TIMEOUT: "#7a5195",
    Outcome.MEMORY: "#9b7bb8",
    Outcome.OUTPUT_LIMIT: "#bda6d3",
    Outcome.FORBIDDEN: "#5c3d73",
    Outcome.CRASHED: "#e88a94",
    Outcome.TRUNCATED: "#6c8ebf",
    Outcome.REFUSED: "#98b1d6",
    Outcome.TEACHER_ERROR: "#8a8f98",
    Outcome.SANDBOX_ERROR: "#55595f",
}
"""Green is right, yellow is a wrong value, red did not run, violet hit a limit, blue gave no program, grey is ours."""
STUDENTS = ("#8a8f98", "#4c8fd6", "#2f9e63", "#e8a33d", "#d1495b", "#7a5195")
"""The untrained student, then round by round."""


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    # Names of suites are data: a `$` in them is a dollar sign, not a formula.
    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "pad_ray", "text.parse_math": False, "font.size": 9}
    ):
        yield


@_style()
def yields(by_round: Mapping[int, Mapping[Outcome, int]]) -> str:
    """One bar per round: what became of its samples, as shares."""
    return _svg(
        _shares({f"round {number}": counts for number, counts in by_round.items()}, "% of the samples"), "yield"
    )


@_style()
def outcomes(by_student: Mapping[str, Mapping[Outcome, int]]) -> str:
    """One bar per student: what became of its answers, as shares."""
    return _svg(_shares(by_student, "% of the answers"), "outcomes")


def _shares(by_name: Mapping[str, Mapping[Outcome, int]], unit: str) -> Any:
    from matplotlib.patches import Patch

    present = [outcome for outcome in Outcome if any(counts.get(outcome) for counts in by_name.values())]
    present.sort(key=list(COLOURS).index)
    figure, axes = _figure(0.75 + 0.42 * len(by_name) + 0.22 * -(-len(present) // 3))
    for row, counts in enumerate(by_name.values()):
        total, left = sum(counts.values()), 0.0
        for outcome in present:
            share = 100 * counts.get(outcome, 0) / total
            axes.barh(row, share, left=left, height=0.62, color=COLOURS[outcome])
            if share >= 7:
                axes.text(left + share / 2, row, f"{share:.0f} %", ha="center", va="center", color="#ffffff")
            left += share
    axes.set_yticks(range(len(by_name)), list(by_name))
    axes.set_xlim(0, 100)
    axes.invert_yaxis()
    axes.set_xlabel(unit, color=INK)
    handles = [Patch(color=COLOURS[outcome], label=outcome.value.replace("_", " ")) for outcome in present]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, labelcolor=INK)
    return figure


@_style()
def losses(by_round: Mapping[int, Sequence[Mapping[str, Any]]]) -> str:
    """Training loss over optimizer steps, one line per round; dashed, where it was measured, on held-out questions."""
    figure, axes = _figure(2.6)
    for number, lines in by_round.items():
        steps, values = [line["step"] for line in lines], [line["loss"] for line in lines]
        axes.plot(steps, values, color=_student_colour(number), linewidth=1.6, label=f"round {number}")
        axes.plot(steps[-1:], values[-1:], "o", color=_student_colour(number), markersize=4)
        if held_out := [(line["step"], line["held_out"]) for line in lines if "held_out" in line]:
            style: dict[str, Any] = {"linestyle": "--", "marker": "o", "markersize": 4, "markerfacecolor": "none"}
            label = f"round {number}, held out"
            axes.plot(*zip(*held_out, strict=True), color=_student_colour(number), label=label, **style)
    axes.set_xlabel("optimizer step of the round", color=INK)
    axes.set_ylabel("loss per completion token", color=INK)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=INK, alpha=0.12)
    axes.legend(frameon=False, labelcolor=INK)
    return _svg(figure, "loss")


@_style()
def accuracies(measured: Sequence[Measurement]) -> str:
    """Accuracy with its 95 % interval, one row per student, grouped by suite."""
    rows: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for one in measured:
        rows.setdefault(one.suite, []).append((one.student, _student_colour(one.round), one.summary))
    return _svg(_intervals(rows), "accuracy")


@_style()
def contestants(by_suite: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]]) -> str:
    """The same of students by name: the rows of `arms.accuracies`, in one order in every suite."""
    names = list(dict.fromkeys(name for rows in by_suite.values() for name, _ in rows))
    colours = {name: _student_colour(number - 1) for number, name in enumerate(names)}
    rows = {suite: [(name, colours[name], row) for name, row in found] for suite, found in by_suite.items()}
    return _svg(_intervals(rows), "accuracy")


def _intervals(by_suite: Mapping[str, Sequence[tuple[str, str, Mapping[str, Any]]]]) -> Any:
    """Rows of label, colour, and what has `accuracy` and `ci95`."""
    labels: list[tuple[str, bool]] = []
    figure, axes = _figure(0.6 + 0.27 * sum(1 + len(rows) for rows in by_suite.values()))
    for suite, rows in by_suite.items():
        labels.append((suite, True))
        for label, colour, found in rows:
            place = len(labels)
            labels.append((label, False))
            accuracy, (low, high) = 100 * found["accuracy"], (100 * bound for bound in found["ci95"])
            axes.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.45, solid_capstyle="round")
            axes.plot([accuracy], [place], "o", color=colour, markersize=7)
            told = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "color": INK}
            axes.annotate(f"{accuracy:.0f}", (high, place), **told)
    axes.set_yticks(range(len(labels)), [label for label, _ in labels])
    for tick, (_, heading) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(-2, 106)
    axes.set_xlabel("% correct, with 95 % interval", color=INK)
    axes.grid(axis="x", color=INK, alpha=0.12)
    return figure


@_style()
def at_k(by_student: Mapping[str, Sequence[Mapping[str, Any]]], name: str) -> str:
    """pass@k (solid) and majority@k (dashed) of the students of one suite; rows are those of `at_k` in summary.json."""
    figure, axes = _figure(2.4 + 0.2 * len(by_student))
    for number, (student, rows) in enumerate(by_student.items()):
        ks = [row["k"] for row in rows]
        for key, style in (("pass", "-"), ("majority", "--")):
            shares = [100 * row[key]["accuracy"] for row in rows]
            label = f"{student}, {key}@k"
            axes.plot(ks, shares, style, color=_student_colour(number - 1), marker="o", markersize=4, label=label)
    axes.set_xscale("log", base=2)
    ticks = sorted({row["k"] for rows in by_student.values() for row in rows})
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.set_ylim(0, 105)
    axes.set_xlabel("samples (k)", color=INK)
    axes.set_ylabel("% correct", color=INK)
    axes.grid(axis="y", color=INK, alpha=0.12)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, labelcolor=INK)
    return _svg(figure, name)


VERDICT_COLOURS = {"better": "#2f9e63", "no clear difference": "#8a8f98", "worse": "#d1495b"}
"""Of a difference."""


@_style()
def forest(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Differences with their 95 % intervals, one row per arm and suite, the zero marked; `name` is unique on a page.

    Rows are those of `arms.compared` with their `arm`; the first row of an arm, over all suites, is drawn large.
    """
    labels: list[tuple[str, bool]] = []
    places: list[float] = []
    height = 0.0
    for row in rows:
        first = not labels or row["arm"] != rows[len(labels) - 1]["arm"]
        height += (1.6 if first else 1.0) if labels else 0.0
        places.append(height)
        labels.append((row["arm"] if first else row["suite"], first))
    figure, axes = _figure(0.75 + 0.24 * (height + 1))
    axes.axvline(0, color=INK, alpha=0.5, linewidth=1)
    for place, (_, large), row in zip(places, labels, rows, strict=True):
        low, high = (100 * bound for bound in row["ci95"])
        colour = VERDICT_COLOURS[row["verdict"]]
        width, size = (3, 7) if large else (1.5, 4)
        axes.plot([low, high], [place, place], color=colour, linewidth=width, alpha=0.6, solid_capstyle="round")
        axes.plot([100 * row["difference"]], [place], "o" if large else "D", color=colour, markersize=size)
    axes.set_yticks(places, [label for label, _ in labels])
    for tick, (_, large) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if large else "normal")
    axes.set_ylim(height + 0.7, -0.7)
    axes.set_xlabel("difference in percentage points, with 95 % interval", color=INK)
    axes.grid(axis="x", color=INK, alpha=0.12)
    return _svg(figure, name)


def _student_colour(round_: int) -> str:
    return STUDENTS[(round_ - UNTRAINED) % len(STUDENTS)]


def _figure(height: float) -> tuple[Any, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)
        spine.set_alpha(0.4)
    return figure, axes


def _svg(figure: Any, name: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    # Ids must differ between the drawings of one page.
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r'(url\(|href=")#', rf"\1#{name}-", drawing)
    # No fixed width and height, only the viewBox: the page sizes it.
    drawing = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", drawing, count=1)
    return drawing.replace(INK, "currentColor")
