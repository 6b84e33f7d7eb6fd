"""An arm of a study adopts what is shared, in a folder and in a bucket; killed before the end, it does so again."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.flow.adopting import adopt
from pad_ray.manifest import Manifest, Stage, StageName, load_manifest
from pad_ray.recipe import Recipe
from pad_ray.run import open_run
from pad_ray.storage import Storage

SHARED: list[tuple[int, StageName]] = [
    *((0, name) for name in ("plan", "sample", "judge", "curate", "train", "evaluate")),
    *((1, name) for name in ("plan", "sample", "judge")),
]
FILES = [
    "problems/train/part-0.parquet",
    "problems/eval/e.parquet",
    "round-0/examples/summary.json",
    "round-0/checkpoint/summary.json",
    "round-0/eval/e/answers.jsonl",
    "problems/probe/p.parquet",
    "base/eval/e/few_shot/answers.jsonl",
    "base/probe/p/direct/answers.jsonl",
    "round-0/probe/p/direct/summary.json",
    "round-1/verdicts/part-0.parquet",
    "base/teacher.json",
]


def recipe(**refine: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "arm",
            "problems": {"train": "t.jsonl", "eval": {"e": "e.jsonl"}, "probe": {"p": "p.jsonl"}},
            "student": {"model": "m"},
            "train": {"distill": {"teacher": "larger"}},
            "refine": refine,
        }
    )


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A study with its shared run."""
    place = Storage(tmp_path / "study" if request.param == "folder" else request.getfixturevalue("bucket"))
    shared = Storage(place.uri("shared"))
    for name in FILES:
        shared.write(name, name.encode())
    for name in ("round-0/student", "base/teacher"):
        shared.path(name).mkdir(parents=True)
        (shared.path(name) / "model.safetensors").write_bytes(name.encode())
        shared.publish(name)
    Manifest(recipe_hash="x", stages=[Stage(round=r, stage=n, state="done", new=7) for r, n in SHARED]).save(shared)
    return place


def test_an_arm_starts_with_all_that_is_shared_and_nothing_counts_as_its_own(root: Storage) -> None:
    arm = root.uri("arms/a-seed0")
    with open_run(recipe(), arm) as run:
        adopt(run, Storage(root.uri("shared")), sampling=True)
        assert all(run.done(*stage) for stage in SHARED)
    found = Storage(arm)
    assert [found.get(name) for name in FILES] == [name.encode() for name in FILES]
    for name in ("round-0/student", "base/teacher"):
        assert (found.fetch(name) / "model.safetensors").read_bytes() == name.encode()
    manifest = load_manifest(found)
    assert manifest and {(stage.new, stage.reused) for stage in manifest.stages} == {(0, 7)}


def test_an_arm_that_was_killed_while_it_adopted_does_it_again(root: Storage) -> None:
    arm, shared = root.uri("arms/a-seed0"), Storage(root.uri("shared"))
    for _ in range(2):
        with open_run(recipe(), arm) as run:
            adopt(run, shared, sampling=True)
            run.manifest.stages.clear()  # as if the manifest had not been written
    with open_run(recipe(), arm) as run:
        adopt(run, shared, sampling=True)
        assert run.done(0, "evaluate")
    assert (Storage(arm).fetch("round-0/student") / "model.safetensors").read_bytes() == b"round-0/student"


def test_an_arm_with_nothing_new_takes_no_programs_of_round_1(root: Storage) -> None:
    arm = root.uri("arms/a-seed0")
    with open_run(recipe(fresh=False), arm) as run:
        adopt(run, Storage(root.uri("shared")), sampling=True)
        assert run.done(0, "train")
        assert not run.done(1, "sample")
    assert not Storage(arm).exists("round-1")
