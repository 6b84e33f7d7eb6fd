"""Injected errors on their way through a run: drawn, counted, told of and mixed; none where none are asked for."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pad_ray.cli import app
from pad_ray.evaluate.report import write_report
from pad_ray.evaluate.sentences import yield_sentences
from pad_ray.evaluate.story import read_story
from pad_ray.evaluate.table import final_table
from pad_ray.flow.curating import curate
from pad_ray.flow.mixing import mixture_of
from pad_ray.flow.progress import Reporter
from pad_ray.one_sample import show
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from tests.refine.judged_rounds import PROBLEMS, write_judged_rounds

pytestmark = pytest.mark.usefixtures("ray_session")


def curated(folder: Path, **refine: Any) -> list[Example]:
    """Curate both rounds of a run; returns what its second round would train on."""
    tree = {"name": "t", "problems": {"train": "none"}, "student": {"model": "none"}, "refine": {"replay": 1, **refine}}
    with open_run(parse_recipe(tree), str(folder)) as run:
        write_judged_rounds(run.storage)
        counts = {"asked": PROBLEMS // 2, "correct": PROBLEMS // 2}
        for round_ in (0, 1):
            with run.stage(round_, "judge") as stage:
                stage.counts = {"by_source": dict.fromkeys("ab", counts)}
            curate(run, round_, Reporter(Console(quiet=True)))
        return mixture_of(run.storage, run.recipe, 1)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "round-1/examples/summary.json").read_text())


def test_injected_repairs_arrive_in_the_examples_and_in_the_mixture_and_are_told_of(tmp_path: Path) -> None:
    run = tmp_path / "run"
    mixture = curated(run, injected=2)
    examples = list(Storage(run).scan_rows("round-1/examples", Example))
    injected = {example.example_id for example in examples if example.origin == "injected"}
    found = summary(run)
    assert found["by_origin"]["injected"] == sum(found["by_operator"].values()) == len(injected) >= PROBLEMS
    assert set(found["by_operator"]) <= {"name_error", "unbound_local", "syntax_error"}
    assert sum(row["injected"] for row in found["by_source"].values()) == len(injected)
    assert {example.example_id for example in mixture if example.origin == "injected"} == injected

    assert status(run)["injected"] == found["by_operator"]
    assert "with an injected error: " in CliRunner().invoke(app, ["status", str(run)]).stdout
    sentence = next(said for said in yield_sentences(read_story(Storage(run))) if said.startswith("Round 1"))
    assert f"4 failures became repairs, {len(injected)} errors were injected (" in sentence
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(final_table(run), crop=False)
    assert "new repairs injected" in " ".join(console.export_text().split())
    page = Path(write_report(run)).read_text()
    assert "injected: correct programs that were broken on purpose" in page
    assert f"8 new, 4 repairs, {len(injected)} injected" in page
    # The sample of the first round tells what the second one made of it.
    of = next(id_ for id_ in sorted(injected) if ".r0." in id_)
    whole = show(run, of.rpartition("!")[0])
    assert of in {example.example_id for example in whole.examples}
    assert f"the repair example {of}" in whole.fate


def test_repairs_are_limited_to_a_ratio_and_nothing_is_injected_unless_asked(tmp_path: Path) -> None:
    mixture = curated(tmp_path / "limited", injected=3, repair_ratio=0.5)
    repairs = [example for example in mixture if example.task == "repair"]
    assert 2 * len(repairs) <= len(mixture) - len(repairs) + 1
    assert {example.origin for example in repairs} >= {"injected"}
    mixture = curated(tmp_path / "plain")
    assert {example.origin for example in mixture} == {"teacher", "student"}
    found = summary(tmp_path / "plain")
    assert found["by_operator"] == {} and not [reason for reason in found["dropped"] if "mutant" in reason]
    assert "injected" not in CliRunner().invoke(app, ["status", str(tmp_path / "plain")]).stdout
