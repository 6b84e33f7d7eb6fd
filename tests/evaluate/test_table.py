"""The terminal's last words hold the figures, and commands that can be copied."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.table import final_table
from pad_ray.storage import Storage


def printed(root: Path, width: int = 200) -> str:
    console = Console(width=width, record=True)
    console.print(final_table(root))
    return console.export_text()


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_every_student_has_its_accuracy_with_interval_and_n(finished_run: Path) -> None:
    found = rows(printed(finished_run))
    assert "sum.u-1 untrained 0 / 6 0.0 % 0.0 – 39.0 0.0 %" in found
    assert "round 0 2 / 6 33.3 % 9.7 – 70.0 33.3 %" in found
    assert "round 1 4 / 6 66.7 % 30.0 – 90.3 66.7 %" in found
    assert "sum.u-1 +66.7 points +33.3 to +100.0 6" in found


def test_the_yield_names_what_gave_nothing(finished_run: Path) -> None:
    found = rows(printed(finished_run))
    assert "round 0 (teacher) all 8 4 50.0 % 3" in found
    assert "barren 2 0 0.0 % 0" in found
    assert "round 1 (student) all 8 2 25.0 % 1" in found


def test_before_curation_the_yield_is_known_from_judging(finished_run: Path) -> None:
    Storage(finished_run).delete("round-0/examples")
    found = rows(printed(finished_run))
    assert "round 0 (teacher) all 8 4 50.0 % –" in found and "barren 2 0 0.0 % –" in found


def test_the_next_steps_are_commands_for_this_run(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(finished_run)
    monkeypatch.chdir(finished_run.parent)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    lines = printed(finished_run).splitlines()
    ask, serve, see = (shlex.split(line)[2:] for line in lines if line.startswith(("ask it", "serve it", "see more")))
    assert ask[:4] == ["pad-ray", "ask", "--student", "my run/round-1/student"] and ask[4].startswith(
        "sum.u-1 question"
    )
    assert serve == ["pad-ray", "serve", "--student", "my run/round-1/student"]
    assert see == ["open", "my run/report.html"]


def test_a_program_that_the_shell_does_not_find_is_called_by_its_path(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = finished_run.parent / ".venv" / "bin" / "pad-ray"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.chdir(finished_run.parent)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    assert ".venv/bin/pad-ray serve --student" in printed(finished_run)


def test_an_unfinished_run_offers_only_what_works(finished_run: Path) -> None:
    storage = Storage(finished_run)
    for folder in ("round-0/student", "round-1", "base"):
        storage.delete(folder)
    text = printed(finished_run, width=80)
    assert "serve" not in text and "report" in text
