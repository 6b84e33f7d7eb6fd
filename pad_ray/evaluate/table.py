"""What the terminal shows at the end of a run: how good each student is, what the data gave, what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pad_ray.evaluate import report
from pad_ray.evaluate.compare import Difference
from pad_ray.evaluate.folder import Measurement
from pad_ray.evaluate.story import Round, gains, headline, read_story
from pad_ray.evaluate.wording import clipped, interval, p_value, percent, points, points_interval
from pad_ray.storage import Storage


def final_table(root: Path) -> Group:
    """The end of a run, for a rich console. Raises StorageError for damaged files."""
    story = read_story(Storage(root))
    parts: list[Text | Table] = [Text(headline(story), style="bold")]
    if story.measured:
        parts += [Text(), _students(story.measured)]
    if gained := gains(story):
        parts += [Text(), _gains(gained)]
    if any(one.asked for one in story.rounds):
        parts += [Text(), _yields(story.rounds)]
    questions = [shown.question for _, answers in story.answers for shown in answers]
    parts += [Text(), *_next_steps(root, story.rounds, min(questions, key=len, default="What is 3 + 4?"))]
    return Group(*parts)


def comparison_table(differences: Sequence[Difference]) -> Table:
    """The rows of `compare`, for a rich console."""
    figures = ("from %", "to %", "points", "95 % interval", "gained", "lost", "n", "p")
    table = _table("suite", "from", "to", numbers=figures)
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
        )
    return table


def _students(measured: Sequence[Measurement]) -> Table:
    table = _table("suite", "student", numbers=("correct", "accuracy", "95 % interval", "executable"))
    previous = ""
    for one in measured:
        summary = one.summary
        table.add_row(
            Text(one.suite if one.suite != previous else ""),
            one.student,
            f"{summary['correct']} / {summary['n']}",
            Text(percent(summary["accuracy"]), style="bold"),
            interval(summary["ci95"]),
            percent(summary["executable_rate"]),
        )
        previous = one.suite
    return table


def _gains(gained: Sequence[Difference]) -> Table:
    table = _table("suite", numbers=("gain on the untrained student", "95 % interval", "n"))
    for one in gained:
        pair = one.paired
        table.add_row(Text(one.suite), f"{points(pair.difference)} points", points_interval(pair.ci95), str(pair.n))
    return table


def _yields(rounds: Sequence[Round]) -> Table:
    table = _table("programs of", "source", numbers=("asked", "correct", "yield", "kept"))
    for one in (one for one in rounds if one.asked):
        who = f"round {one.number} ({'student' if one.number else 'teacher'})"
        rows = [(Text("all"), one.asked, one.correct, one.kept)]
        if len(one.sources) > 1:
            rows += [(Text(of.source or "–"), of.asked, of.correct, of.kept) for of in one.sources]
        for number, (source, asked, correct, kept) in enumerate(rows):
            table.add_row(
                who if number == 0 else "",
                source,
                f"{asked:,}",
                f"{correct:,}",
                percent(correct / asked) if asked else "–",
                Text("–" if kept is None else f"{kept:,}", style="red" if kept == 0 else ""),
            )
    return table


def _table(*names: str, numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _next_steps(root: Path, rounds: Sequence[Round], question: str) -> list[Text]:
    """Commands that make sense now, ready to be copied."""
    steps: list[Text] = []
    students = [root / f"round-{one.number}" / "student" for one in rounds]
    if trained := [folder for folder in students if folder.is_dir()]:
        student = _shell_path(trained[-1])
        steps.append(_step("ask it", f"{_program()} ask --student {student} {shlex.quote(clipped(question, 120))}"))
        steps.append(_step("serve it", f"{_program()} serve --student {student}"))
    page = root / report.NAME
    how = f"open {_shell_path(page)}" if page.exists() else f"{_program()} report {_shell_path(root)}"
    steps.append(_step("see more", how))
    return steps


def _step(what: str, command: str) -> Text:
    return Text.assemble((f"{what:<10}", "dim"), command)


def _program() -> str:
    """How to call us from here: by name where the shell finds it, else by the path of this environment's script."""
    script = Path(sys.executable).parent / "pad-ray"
    return "pad-ray" if shutil.which("pad-ray") or not script.exists() else _shell_path(script)


def _shell_path(path: Path) -> str:
    """The shortest spelling that works from here, quoted for a shell."""
    path = path.absolute()
    here = Path.cwd()
    return shlex.quote(os.path.relpath(path, here) if path.is_relative_to(here) else str(path))
