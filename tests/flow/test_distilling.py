"""What a round with a local teacher trains on: whose probabilities, and how many of the student's own replies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import RecipeError, StudentError
from pad_ray.flow.attempts import attempts_of
from pad_ray.flow.students import bring_base_student, distilled_teacher
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Attempt, Sample
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.train.held_out import is_held_out
from tests.refine.judged_rounds import PROBLEMS, write_judged_rounds
from tests.tiny_student import make_tiny_student


def recipe(distill: dict[str, Any] | None, validation: float = 0.0, model: str = "none") -> Any:
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": "none"},
            "student": {"model": model},
            "train": {"distill": distill, "validation": validation},
        }
    )


def drawn(folder: Path, round_: int, examples: int, distill: dict[str, Any], validation: float = 0.0) -> list[Attempt]:
    with open_run(recipe(distill, validation), str(folder)) as run:
        write_judged_rounds(run.storage)
        return attempts_of(run, round_, examples)


def test_as_many_replies_are_drawn_as_their_share_says_right_or_wrong_and_the_same_each_time(tmp_path: Path) -> None:
    gkd = {"kind": "gkd", "teacher": "t", "on_policy": 0.25}
    some = drawn(tmp_path / "some", 1, 15, gkd)
    assert len(some) == len({one.sample_id for one in some}) == 5
    assert some == drawn(tmp_path / "again", 1, 15, gkd)
    every = drawn(tmp_path / "every", 1, 90, gkd)
    assert len(every) == PROBLEMS, "there are no more"
    replies = {one.sample_id: one.text for one in Storage(tmp_path / "every").scan_rows("round-1/samples", Sample)}
    assert {one.sample_id: one.completion for one in every} == replies
    assert all(one.prompt == f"What are {one.problem_id[1:]} boxes of 3 and 1?" for one in every)
    held_out = drawn(tmp_path / "held_out", 1, 90, gkd, validation=0.4)
    assert {one.problem_id for one in held_out} == {
        one.problem_id for one in every if not is_held_out(one.problem_id, 0.4)
    }
    assert 0 < len(held_out) < PROBLEMS


def test_no_replies_are_drawn_where_none_are_wanted(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a", 0, 9, {"kind": "gkd", "teacher": "t"}) == [], "round 0 has none of the student"
    assert drawn(tmp_path / "b", 1, 9, {"kind": "gkd", "teacher": "t", "on_policy": 0}) == []
    assert drawn(tmp_path / "c", 1, 9, {"kind": "nucleus", "teacher": "t"}) == []


def test_a_student_that_teaches_itself_does_so_from_round_one_on_and_not_without_a_loss_on_examples(
    tmp_path: Path,
) -> None:
    with open_run(recipe({}), str(tmp_path / "own")) as run:
        assert distilled_teacher(run, 0) == ""
        assert distilled_teacher(run, 2) == run.storage.uri("round-1/student")
    with open_run(recipe(None), str(tmp_path / "none")) as run:
        assert distilled_teacher(run, 2) == ""
    with pytest.raises(RecipeError, match=r"train\.distill.*name a teacher"):
        recipe({"kind": "gkd"})


def test_a_key_that_the_kind_does_not_use_is_named() -> None:
    both = {"teacher": "t", "beta": 0.1, "weight": 2.0}
    assert recipe({"kind": "nucleus", **both}).ignored() == ["train.distill.beta"]
    assert recipe({"kind": "gkd", **both}).ignored() == ["train.distill.weight"]
    tree = {"name": "t", "problems": {"train": "a"}, "student": {"model": "m"}}
    assert parse_recipe({**tree, "refine": {"rounds": 0, "preference": {}}}).ignored() == ["refine.preference"]


def test_another_teacher_is_brought_into_the_run_once(tmp_path: Path) -> None:
    student = str(make_tiny_student(tmp_path / "small"))
    teacher = make_tiny_student(tmp_path / "large")
    with open_run(recipe({"teacher": str(teacher)}, model=student), str(tmp_path / "run")) as run:
        bring_base_student(run, print)
        (teacher / "config.json").unlink()
        bring_base_student(run, print)
        assert distilled_teacher(run, 0) == run.storage.uri("base/teacher")
        assert (tmp_path / "run/base/teacher/config.json").exists()
    with (
        open_run(recipe({"teacher": str(teacher)}, model=student), str(tmp_path / "other")) as run,
        pytest.raises(StudentError, match=r"train\.distill\.teacher.*config\.json"),
    ):
        bring_base_student(run, print)
