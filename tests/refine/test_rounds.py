"""A refinement round on a real Ray, with a real student: both of its ingredients are really made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.flow.progress import Reporter
from pad_ray.recipe_file import load_recipe
from pad_ray.records import Example
from pad_ray.refine.rounds import distill
from pad_ray.run import open_run
from pad_ray.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


@pytest.mark.timeout(600)
def test_a_student_overfitted_on_a_few_problems_teaches_itself_and_repairs_itself(tmp_path: Path) -> None:
    recipe = load_recipe(
        "quick",
        [
            "problems.train=gym://lcm?size=16&seed=1000&max_value=300",
            "problems.eval={}",
            "curate.max_per_problem=8",
            "train.epochs=60",
            "refine.samples=8",
            "refine.temperature=1.3",
            "evaluate.untrained=false",
        ],
    )
    with open_run(recipe, str(tmp_path)) as run:
        distill(run, Reporter(Console(quiet=True)))
        assert run.complete
    summary = json.loads((tmp_path / "round-1" / "examples" / "summary.json").read_text())
    assert summary["by_task"]["solve"] > 0
    assert summary["by_task"]["repair"] > 0
    # Every program the student wrote is an example or is counted with the reason why not.
    assert summary["kept"] + sum(summary["dropped"].values()) == run.manifest.find(1, "sample").new  # type: ignore[union-attr]
    assert summary["by_origin"] == {"student": summary["kept"]}

    storage = Storage(tmp_path)
    first = list(storage.scan_rows("round-0/examples", Example))
    second = list(storage.scan_rows("round-1/examples", Example))
    taught = {(example.problem_id, example.completion) for example in first}
    # A success is only worth training on if it is new; a repair ends in a program that was verified before.
    assert not [e for e in second if e.task == "solve" and (e.problem_id, e.completion) in taught]
    verified = taught | {(e.problem_id, e.completion) for e in second if e.task == "solve"}
    assert all((e.problem_id, e.completion) in verified for e in second if e.task == "repair")
    mixture = storage.read_rows("round-1/checkpoint/mixture.parquet", Example)
    assert {example.round for example in mixture} == {0, 1}
    training = run.manifest.find(1, "train")
    assert training
    assert training.counts["checkpoint"]["parent"] == "round-0/student"
