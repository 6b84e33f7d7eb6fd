"""Mistakes on the command line that were once answered misleadingly: what is said, and that nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_commands import pad_ray

from pad_ray import __version__


@pytest.mark.parametrize("command", ["sample", "judge", "curate", "train", "evaluate"])
def test_a_round_that_the_recipe_does_not_have_starts_and_writes_nothing(tmp_path: Path, command: str) -> None:
    result = pad_ray(command, "quick", "--round", 7, "--run-dir", "run", folder=tmp_path)
    assert result.returncode == 2
    assert "--round: 7 is not between" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_told() -> None:
    assert pad_ray("--version").stdout == f"pad-ray {__version__}\n"


@pytest.mark.parametrize("command", [("report",), ("export-examples", "--out", "o.jsonl"), ("compare",)])
def test_what_is_no_run_is_told_as_status_tells_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = pad_ray(*command, ".", folder=tmp_path)
    assert result.returncode == 2
    assert "is not a run folder: it has no manifest.json. Give the --run-dir of a distill call" in result.stderr
