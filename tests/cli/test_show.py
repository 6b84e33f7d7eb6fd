"""`pad-ray show`: a sample is told whole, and the reason why it is not taught is the one that curation had."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pad_ray.cli import app
from pad_ray.errors import UsageError
from pad_ray.flow.shard import Shard
from pad_ray.one_sample import Whole, listing, show
from pad_ray.records import Example, Problem
from pad_ray.storage import Storage
from tests.cli.curated_run import CHANGES, TEACHER, TWO, C, write_curated_run, write_judged, write_summary


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_curated_run(tmp_path_factory.mktemp("curated") / "run")


@pytest.fixture
def run(curated: Path, tmp_path: Path) -> Path:
    return shutil.copytree(curated, tmp_path / "run")


def of_round(run: Path, round_: int) -> dict[str, Whole]:
    requests = Shard(str(run), round_, 0).requests()
    return {request.sample_id: show(run, request.sample_id) for request in requests}


@pytest.mark.parametrize("round_", [0, 1])
def test_the_reasons_told_are_the_ones_that_curation_counted(run: Path, round_: int) -> None:
    told = Counter(reason for whole in of_round(run, round_).values() for reason in whole.reasons)
    counted = json.loads((run / f"round-{round_}/examples/summary.json").read_text())["dropped"]
    assert told == counted
    assert len(counted) >= 5


def test_the_sentences_name_the_key_and_the_other_program(run: Path) -> None:
    fates = {name.removeprefix("busy#program."): whole.fate for name, whole in of_round(run, 0).items()}
    assert fates["r0.k0"] == "It became the solve example busy#program.r0.k0, not trained on yet."
    assert "same program as busy#program.r0.k0" in fates["r0.k1"]
    assert "curate.max_per_problem=2" in fates["r0.k3"]
    assert "curate.max_chars=200" in fates["r0.k4"]
    assert "needs arguments" in fates["r0.k5"]
    assert "only programs that are judged correct" in fates["r0.k7"]
    assert "executed again" in show(run, "changed#program.r0.k0").fate
    assert "an earlier round already teaches" in show(run, "busy#program.r1.k0").fate
    assert "repair example" in show(run, "busy#program.r1.k1").fate


def test_where_only_an_execution_could_tell_every_possible_reason_is_named(run: Path) -> None:
    shard = Shard(str(run), 0, 0)
    changing = [(CHANGES.format(f" + {n} - {n}"), C) for n in range(3)]
    write_judged(shard, {**TEACHER, "changed": changing})
    write_summary(shard.storage, 0, Counter(changed_by_rewrite=3, over_cap=1))
    third = show(run, "changed#program.r0.k2")
    assert third.reasons == ["changed_by_rewrite", "over_cap"]
    assert "; or " in third.fate


def test_an_example_that_was_thinned_out_says_so(run: Path) -> None:
    shard = Shard(str(run), 0, 0)
    kept = [
        example
        for example in shard.storage.read_rows(shard.file("examples"), Example)
        if "k2" not in example.example_id
    ]
    shard.storage.write_rows(shard.file("examples"), Example, kept)
    write_summary(shard.storage, 0, Counter(over_balance=1))
    assert "curate.max_ratio" in show(run, "busy#program.r0.k2").fate


def test_the_trainings_that_drew_an_example_are_named(run: Path) -> None:
    storage = Storage(run)
    examples = storage.read_rows("round-0/examples/shard-00000.parquet", Example)
    for round_ in (0, 1):
        storage.write_rows(f"round-{round_}/checkpoint/mixture.parquet", Example, examples[:1])
    assert show(run, examples[0].example_id).fate.endswith("in the training of round 0 and 1.")


def test_a_problem_whose_name_holds_a_mark_of_derived_examples_keeps_its_own(run: Path) -> None:
    shard = Shard(str(run), 0, 0)
    write_judged(shard, {"two!": [(TWO, C)]})
    shard.storage.write_rows("problems/train/shard-00000.parquet", Problem, [Problem("two!", "Two?", "2")])
    example = shard.storage.read_rows(shard.file("examples"), Example)[0]
    name = "two!#program.r0.k0"
    ids = (name, f"{name}!repair", "two!#program.r0.k01")
    rows = [replace(example, example_id=id_, problem_id="two!") for id_ in ids]
    shard.storage.write_rows(shard.file("examples"), Example, rows)
    assert [one.example_id for one in show(run, name).examples] == [name, f"{name}!repair"]


def test_a_run_under_way_tells_how_far_the_sample_got(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "stages": []}))
    assert "not curated yet" in show(run, "busy#program.r0.k0").fate
    assert "will become none" in show(run, "busy#program.r0.k7").fate
    (run / "round-0/verdicts/shard-00000.parquet").unlink()
    assert "not judged yet" in show(run, "busy#program.r0.k0").fate
    assert {row.outcome for row in listing(run) if row.round == 0} == {"not_judged"}
    (run / "round-0/samples/shard-00000.parquet").unlink()
    assert "nobody was asked yet" in show(run, "busy#program.r0.k0").fate


@pytest.mark.parametrize(
    ("typed", "near"), [("busy", "busy#program.r0.k0"), ("hopeles#program.r0.k0", "hopeless#program.r0.k0")]
)
def test_an_unknown_id_names_near_ones(run: Path, typed: str, near: str) -> None:
    with pytest.raises(UsageError, match=near):
        show(run, typed)


def test_the_page_explains_the_verdict_in_a_sentence_and_shows_all_parts(run: Path) -> None:
    said = CliRunner().invoke(app, ["show", str(run), "busy#program.r0.k7"]).stdout
    for part in ("What is two, asked by busy?", "Here it is:", "return 3", "big teacher", "It gave 3; expected was 2."):
        assert part in said
    assert "wrong_answer: The value differs from the gold answer." in said


def test_without_an_id_some_of_each_outcome_are_listed(run: Path) -> None:
    said = CliRunner().invoke(app, ["show", str(run)]).stdout
    assert "wrong answer          2    busy#program.r0.k7" in said
    assert f"pad-ray show {run}" in said
    rows = json.loads(CliRunner().invoke(app, ["show", str(run), "--json"]).stdout)
    assert {row["outcome"] for row in rows} == {"correct", "wrong_answer", "refused"}


def test_a_reply_cannot_steer_the_terminal(run: Path) -> None:
    shard = Shard(str(run), 0, 0)
    write_judged(shard, {**TEACHER, "hopeless": [("x = '\x1b[2J'", C)]})
    said = CliRunner().invoke(app, ["show", str(run), "hopeless#program.r0.k0"]).stdout
    assert "\x1b" not in said
    assert "\\x1b[2J" in said
