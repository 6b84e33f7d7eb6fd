"""Which arms of a study are made, and of what: arms that come later, that cannot be made, or that were killed.

The stages themselves write nothing but their records and a state.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray import cli_study
from pad_ray import study as studies
from pad_ray.evaluate.study_page import study_table
from pad_ray.flow.progress import Reporter
from pad_ray.manifest import StageName, load_manifest
from pad_ray.refine import rounds
from pad_ray.run import Run
from pad_ray.storage import Storage
from pad_ray.study import StudyRun, forget_states, run_study
from pad_ray.study_file import parse_study
from pad_ray.terminal import console

STATES = ("checkpoint/state", "checkpoint/ray", "preference/state", "preference/ray", "preference/student")


def bound(folder: Path, arms: dict[str, Any], **more: Any) -> StudyRun:
    tree = {
        "name": "t",
        "recipe": "quick",
        "reference": "all",
        "overrides": {"evaluate.baselines": []},
        "arms": arms,
        **more,
    }
    return StudyRun(parse_study(tree, "t.yaml"), "t.yaml", Storage(folder))


def make(study: StudyRun) -> None:
    run_study(study, Reporter(Console(quiet=True)))


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stages that do nothing; returns by which recipe and in which round a student was asked for programs."""
    found: list[tuple[str, int]] = []

    def stages(run: Run, round_: int, *names: StageName) -> None:
        for name in names:
            if not run.done(round_, name):
                with run.stage(round_, name) as stage:
                    stage.counts = {
                        "checkpoint": {"student": f"round-{round_}/student"},
                        "by_task": {},
                        "by_origin": {},
                    }
                    if name == "train" and round_ and run.recipe.refine.lr == 1.0:
                        stage.counts = {"checkpoint": {"student": "round-0/student"}, "skipped": "nothing new"}

    def gather(run: Run, round_: int, reporter: Reporter) -> None:
        if not run.done(round_, "judge"):
            found.append((run.recipe.name, round_))
        stages(run, round_, "plan", "sample", "judge")

    def learn(run: Run, round_: int, reporter: Reporter) -> None:
        if run.done(round_, "evaluate"):
            return
        run.storage.write(f"round-{round_}/student/config.json", b"{}")
        run.storage.write(f"round-{round_}/checkpoint/summary.json", b'{"steps": 3}')
        for name in STATES:
            run.storage.write(f"round-{round_}/{name}/weights", b"w")
        stages(run, round_, "curate", "train", "evaluate")

    for module in (studies, rounds):
        monkeypatch.setattr(module, "gather", gather)
        monkeypatch.setattr(module, "learn", learn)
    for name in ("bring_base_student", "write_cards", "write_report"):
        monkeypatch.setattr(studies, name, lambda *_: None)
    return found


def test_an_arm_with_other_sampling_may_be_added_and_has_programs_of_its_own(
    tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    arms: dict[str, Any] = {"all": {}, "other": {"overrides": {"refine.repairs": False}}}
    make(bound(tmp_path, arms))
    assert asked == [("t-shared", 0), ("t-shared", 1)]
    asked.clear()
    arms["four"] = {"overrides": {"refine.samples": 4}}
    make(bound(tmp_path, arms))
    assert asked == [("four-seed0", 1)]
    arms["later"] = {"overrides": {"refine.injected": 0.5}}
    asked.clear()
    make(bound(tmp_path, arms))
    assert asked == [], "an arm that samples as the first ones takes their programs"


def test_an_arm_that_follows_one_without_a_step_is_left_out_and_the_others_are_made(tmp_path: Path) -> None:
    nothing_new = {"overrides": {"refine.lr": 1.0}}
    arms = {"all": nothing_new, "again": {"same_steps_as": "all"}, "b": {}, "as_b": {"same_steps_as": "b"}}
    for _ in range(2):
        study = bound(tmp_path, arms)
        make(study)
        assert all(study.settled(task) for task in study.tasks())
        assert [task.arm for task in study.tasks() if study.finished(task)] == ["all", "b", "as_b"]
    results = json.loads((tmp_path / "study.json").read_text())
    assert results["missing"] == []
    assert [(one["arm"], one["seed"]) for one in results["impossible"]] == [("again", 0)]
    assert "'all' found nothing new" in results["impossible"][0]["why"]
    assert "'again' cannot be made" in (tmp_path / "study.md").read_text()
    assert "cannot be made" in (tmp_path / "study.html").read_text()
    out = console()
    with out.capture() as shown:
        out.print(study_table(results))
    assert shown.get().count("cannot be made") == 2, "in the table and below it"


def test_the_states_of_finished_trainings_go_also_where_the_study_did_not_finish_the_arm_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states() -> set[str]:
        return {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("**/weights")}

    study = bound(tmp_path, {"all": {}})
    make(study)
    assert not states()
    for name in STATES:
        Storage(tmp_path / "arms/all-seed0").write(f"round-1/{name}/weights", b"w")
    file = tmp_path / "t.yaml"
    file.write_text(study.study.to_yaml())
    monkeypatch.setattr(cli_study, "end_like_ctrl_c", lambda: None)
    monkeypatch.setattr(cli_study, "connected", None)  # nothing is left to do that needs Ray
    cli_study.study(str(file), run_dir=str(tmp_path))
    assert not states()
    assert (tmp_path / "arms/all-seed0/round-1/student/config.json").exists()


def test_a_student_that_learned_from_pairs_alone_is_kept(tmp_path: Path) -> None:
    study = bound(tmp_path, {"all": {}})
    make(study)
    arm = Storage(tmp_path / "arms/all-seed0")
    manifest = load_manifest(arm)
    assert manifest
    stage = manifest.find(1, "train")
    assert stage
    stage.counts["checkpoint"] = {"student": "round-1/preference/student"}
    manifest.save(arm)
    arm.write("round-1/preference/student/weights", b"w")
    forget_states(study)
    assert arm.exists("round-1/preference/student/weights")


def test_what_most_arms_want_is_shared(tmp_path: Path, asked: list[tuple[str, int]]) -> None:
    make(bound(tmp_path, {"four": {"overrides": {"refine.samples": 4}}, "all": {}, "b": {}}))
    assert asked == [("t-shared", 0), ("t-shared", 1), ("four-seed0", 1)]


def test_where_nothing_is_shared_every_arm_is_a_whole_run_from_the_start(
    tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    arms = {"all": {}, "short": {"overrides": {"refine.rounds": 0}}}
    study = bound(tmp_path, arms, share="nothing", seeds=[0, 1])
    make(study)
    assert asked == [
        ("all-seed0", 0), ("all-seed0", 1), ("short-seed0", 0), ("all-seed1", 0), ("all-seed1", 1), ("short-seed1", 0),
    ]  # fmt: skip
    assert all(study.settled(task) for task in study.tasks())
    assert not (tmp_path / "shared").exists()
    asked.clear()
    make(study)
    assert not asked
