"""What the terminal shows at the end of a run: how good each student is, what the data gave, what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pad_ray.evaluate import report
from pad_ray.evaluate.compare import Difference
from pad_ray.evaluate.folder import Measurement
from pad_ray.evaluate.sentences import (
    barren_sentences,
    earlier_sentence,
    forgetting_sentences,
    gain_sentence,
    gains,
    headline,
    text,
    texts,
)
from pad_ray.evaluate.story import Round, read_story
from pad_ray.evaluate.wording import clipped, count, interval, p_value, percent, points, points_interval
from pad_ray.status import total_spend
from pad_ray.storage import Storage
from pad_ray.teacher.money import spend_sentence

_STYLES = {"better": "green", "no clear difference": "yellow", "worse": "red"}


def final_table(root: str | Path) -> Group:
    """The end of a run, for a rich console; print it with `crop=False`, so that no command is cut.

    Raises StorageError for damaged files.
    """
    storage = Storage(root)
    story = read_story(storage)
    parts: list[RenderableType] = [Text(headline(story), style="bold")]
    gained = {one.suite: one for one in gains(story)}
    wide = max((len(one.student) for one in story.measured), default=0)
    for suite, measured in groupby(story.measured, key=lambda one: one.suite):
        parts += [Text(), _students(suite, list(measured), wide)]
        if suite in gained:
            parts.append(Text(gain_sentence(gained[suite]), style=_STYLES[gained[suite].paired.verdict]))
            if earlier := earlier_sentence(story, gained[suite]):
                parts.append(Text(earlier))
    if story.forgotten:
        parts += [Text(), Text("tasks outside the training, before and after", style="bold")]
        parts += map(Text, forgetting_sentences(story))
    wide = max((len(source.source) for one in story.rounds for source in one.sources), default=0)
    for one in story.rounds:
        if one.asked:
            parts += [Text(), _yields(one, texts(story.recipe), wide)]
            parts += map(Text, barren_sentences(one, text(story.recipe)))
    spend = total_spend(stage["counts"] for stage in story.manifest["stages"])
    if spend["usd"] or spend["unsettled"]:
        parts += [Text(), Text(f"the teacher's replies: {spend_sentence(spend)}")]
    questions = [shown.question for _, answers in story.answers for shown in answers]
    parts += [Text(), *_next_steps(storage, story.rounds, min(questions, key=len, default="What is 3 + 4?"))]
    return Group(*parts)


def comparison_table(differences: Sequence[Difference]) -> Table:
    """The rows of `compare`, for a rich console."""
    table = Table(box=None, pad_edge=False)
    for name in ("suite", "from", "to"):
        table.add_column(name, overflow="fold")
    for name in ("from %", "to %", "points", "95 % interval", "gained", "lost", "n", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("in words")
    for one in differences:
        pair = one.paired
        table.add_row(
            *(Text(name) for name in (one.suite, one.before, one.after)),
            f"{100 * pair.before:.1f}",
            f"{100 * pair.after:.1f}",
            points(pair.difference),
            points_interval(pair.ci95),
            str(pair.gained),
            str(pair.lost),
            str(pair.n),
            p_value(pair.p_value),
            Text(pair.verdict, style=_STYLES[pair.verdict]),
        )
    return table


def _students(suite: str, measured: Sequence[Measurement], wide: int) -> Table:
    # Every suite has its own table: the names of suites are long, and the columns must be in line all the same.
    table = Table(box=None, pad_edge=False)
    table.add_column(Text(suite), overflow="fold", min_width=min(wide, 36))
    for name, width in (("correct", 7), ("accuracy", 8), ("95 % interval", 13), ("ran", 7)):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for one in measured:
        summary = one.summary
        table.add_row(
            one.student,
            f"{summary['correct']}/{summary['n']}",
            Text(percent(summary["accuracy"]), style="bold"),
            interval(summary["ci95"]),
            "–" if one.executable is None else percent(one.executable),
        )
    return table


def _yields(one: Round, what: str, wide: int) -> Table:
    table = Table(box=None, pad_edge=False)
    names = ("new", "repairs", *(["injected"] if one.injected else [])) if one.number else ("examples",)
    table.add_column(f"round {one.number}: {what} of the {one.author}", overflow="fold", min_width=wide)
    for name, width in zip(("asked", "correct", "%", *names), (7, 7, 7, 8, 8, 8), strict=False):
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    for of in one.yields:
        made = (of.new, of.repairs, of.injected)[: len(names)] if one.number else (of.kept,)
        table.add_row(
            Text(of.source or "(no source)"),
            count(of.asked),
            count(of.correct),
            percent(of.correct / of.asked) if of.asked else "–",
            *map(count, made),
            style="red" if of.kept == 0 else None,
        )
    return table


def _next_steps(storage: Storage, rounds: Sequence[Round], question: str) -> list[RenderableType]:
    """Commands that make sense now, ready to be copied."""
    steps: list[RenderableType] = []
    students = [f"round-{one.number}/student" for one in rounds]
    if trained := [name for name in students if storage.exists(name)]:
        student = _shell_path(storage.uri(trained[-1]))
        ask = [_program(), "ask", "--student", student, shlex.quote(clipped(" ".join(question.split()), 70))]
        steps += [_label("ask it"), _Command(ask)]
        steps += [_label("serve it"), _Command([_program(), "serve", "--student", student])]
    page = storage.where(report.NAME)
    viewer = next((name for name in ("xdg-open", "open") if shutil.which(name)), None)
    if not storage.exists(report.NAME):
        steps += [_label("see more"), _Command([_program(), "report", _shell_path(str(storage))])]
    elif viewer and not storage.remote:
        steps += [_label("see more"), _Command([viewer, _shell_path(page)])]
    else:
        steps.append(Text.assemble(("see more, in a browser: ", "dim"), page))
    return steps


def _label(what: str) -> Text:
    return Text(what, style="dim")


class _Command:
    """A command that can be pasted whatever the width: a long one goes on after a backslash, as shells have it."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = " "
        for number, word in enumerate(self._words):
            if number and len(line) + len(word) + 3 > options.max_width:
                yield Segment(line + " \\\n")
                line = "   "
            line += f" {word}"
        yield Segment(line + "\n")


def _program() -> str:
    """How to call us from here: by name where the shell finds it, else by the path of this environment's script."""
    script = Path(sys.executable).parent / "pad-ray"
    return "pad-ray" if shutil.which("pad-ray") or not script.exists() else _shell_path(str(script))


def _shell_path(name: str) -> str:
    """The shortest spelling of a path that works from here, or a URI, quoted for a shell."""
    if "://" in name:
        return shlex.quote(name)
    path, here = Path(name).absolute(), Path.cwd()
    return shlex.quote(os.path.relpath(path, here) if path.is_relative_to(here) else str(path))
