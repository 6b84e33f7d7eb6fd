"""The terminal's last words hold the figures, and commands that can be copied."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.evaluate.metrics import newcombe
from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.table import final_table
from pad_ray.storage import Storage
from tests.evaluate.fabricated_run import write_evaluation


def printed(root: Path, width: int = 200) -> str:
    console = Console(width=width, record=True)
    console.print(final_table(root), crop=False)
    return console.export_text()


def rows(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_every_student_has_its_accuracy_with_interval_and_n(finished_run: Path) -> None:
    found = rows(printed(finished_run))
    assert "sum.u-1 correct accuracy 95 % interval ran" in found
    assert "untrained, answers directly 0/6 0.0 % 0.0 – 39.0 –" in found
    assert "untrained, writes programs 0/6 0.0 % 0.0 – 39.0 0.0 %" in found
    assert "untrained, programs after 4 examples 1/6 16.7 % 3.0 – 56.4 16.7 %" in found
    assert "round 0 2/6 33.3 % 9.7 – 70.0 33.3 %" in found
    assert "round 1 4/6 66.7 % 30.0 – 90.3 66.7 %" in found


def test_a_lenient_match_is_told_beside_the_figure(finished_run: Path) -> None:
    write_evaluation(Storage(finished_run), "round-1/eval/sum.u-1", "sum.u-1", [True] * 6, match="rounded")
    assert "round 1, numbers rounded 6/6 100.0 % 61.0 – 100.0 100.0 %" in rows(printed(finished_run))


def test_the_last_student_is_compared_with_the_best_baseline_in_words(finished_run: Path) -> None:
    low, high = (f"{100 * bound:+.1f}" for bound in newcombe(1, 3, 0, 2))
    said = (
        "round 1: no clear difference from the best baseline (untrained, programs after 4 examples), "
        f"66.7 % against 16.7 %, +50.0 points, 95 % interval {low} to {high}, n = 6"
    )
    assert said in rows(printed(finished_run))
    storage = Storage(finished_run)
    write_evaluation(storage, "base/eval/sum.u-1/few_shot", "sum.u-1", [False] * 6, prompt="few_shot")
    assert "round 1: better than the best baseline (untrained, answers directly)" in printed(finished_run)
    write_evaluation(storage, "round-1/eval/sum.u-1", "sum.u-1", [False] * 6)
    write_evaluation(storage, "base/eval/sum.u-1/zero_shot", "sum.u-1", [True] * 6, prompt="zero_shot")
    assert "round 1: worse than the best baseline (untrained, writes programs)" in printed(finished_run)


def test_an_earlier_student_that_was_clearly_better_is_named_where_the_last_one_is_not(finished_run: Path) -> None:
    storage = Storage(finished_run)
    for folder, right in (("base/eval/sum.u-1/few_shot", 0), ("round-0/eval/sum.u-1", 6), ("round-1/eval/sum.u-1", 1)):
        prompt = {"prompt": "few_shot"} if right == 0 else {}
        write_evaluation(storage, folder, "sum.u-1", [place < right for place in range(6)], **prompt)
    text = printed(finished_run)
    assert "round 1: no clear difference from the best baseline" in text
    assert "round 0: better than the best baseline" in text
    assert "that student is kept too, in round-0/student" in text


def test_the_yield_names_what_gave_nothing_and_tells_new_programs_from_repairs(finished_run: Path) -> None:
    found = rows(printed(finished_run))
    assert "round 0: programs of the teacher asked correct % examples" in found
    assert "all 8 4 50.0 % 3" in found and "barren 2 0 0.0 % 0" in found
    assert "round 1: programs of the student asked correct % new repairs" in found
    assert "all 8 2 25.0 % 1 3" in found and "sums 6 2 33.3 % 1 3" in found


def test_a_task_the_teacher_fails_at_is_named_in_a_plain_sentence(finished_run: Path) -> None:
    storage = Storage(finished_run)
    never = "barren: the teacher was never right (0 of 2); the filter leaves nothing of it, so the teacher does not"
    assert any(line.startswith(never) for line in rows(printed(finished_run)))
    summary = json.loads(storage.read("round-0/examples/summary.json"))
    summary["by_source"]["rare"] = {"asked": 60, "correct": 1, "kept": 1, "repairs": 0}
    storage.write("round-0/examples/summary.json", json.dumps(summary).encode())
    almost = "barren, rare: the teacher was almost never right (0 of 2, 1 of 60); the filter leaves almost nothing of"
    assert any(line.startswith(almost) for line in rows(printed(finished_run)))


def test_before_curation_the_yield_is_known_from_judging(finished_run: Path) -> None:
    Storage(finished_run).delete("round-0/examples")
    text = printed(finished_run)
    assert "all 8 4 50.0 % –" in rows(text) and "barren 2 0 0.0 % –" in rows(text)
    assert "barren: the teacher was never right (0 of 2)." in text


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_but_a_command_is_wider_than_the_terminal(finished_run: Path, width: int) -> None:
    assert max(map(len, printed(finished_run, width).split("ask it")[0].splitlines())) <= width


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_next_steps_can_be_pasted_at_any_width(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    write_report(finished_run)
    monkeypatch.chdir(finished_run.parent)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    ask, serve, see = printed(finished_run, width).split("ask it")[1].replace("see more", "serve it").split("serve it")
    # What a shell makes of the pasted lines: a backslash at the end of one joins it with the next.
    words = [shlex.split(lines.replace("\\\n", " ")) for lines in (ask, serve, see)]
    assert words[0] == ["pad-ray", "ask", "--student", "my run/round-1/student", "sum.u-1 question 0 <b>bold</b>"]
    assert words[1] == ["pad-ray", "serve", "--student", "my run/round-1/student"]
    assert words[2] == ["xdg-open", "my run/report.html"]


def test_without_a_viewer_the_page_is_only_named(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(finished_run)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert f"in a browser: {finished_run / 'report.html'}" in printed(finished_run)


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
