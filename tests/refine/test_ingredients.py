"""What a refinement round teaches: every ingredient comes by its own key, and leaves the others as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import RecipeError
from pad_ray.flow.curating import curate_shard
from pad_ray.flow.shard import Shard
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage
from tests.refine.judged_rounds import PROBLEMS, write_judged_rounds

ALL = {("student", "solve"): 8, ("student", "repair"): 4, ("injected", "repair"): PROBLEMS + 8}


def recipe(**refine: Any) -> Recipe:
    return parse_recipe(
        {"name": "t", "problems": {"train": "none"}, "student": {"model": "none"}, "refine": {"injected": 1, **refine}}
    )


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture
def second(tmp_path: Path, box: Sandbox) -> Shard:
    """The shard in round 1, after round 0 was curated."""
    write_judged_rounds(Storage(tmp_path))
    shard = Shard(str(tmp_path), 0, 0)
    examples, _ = curate_shard(shard, recipe(), box)
    shard.storage.write_rows(shard.file("examples"), Example, examples)
    return Shard(str(tmp_path), 1, 0)


def counted(examples: list[Example]) -> Counter[tuple[str, str]]:
    return Counter((example.origin, example.task) for example in examples)


@pytest.mark.parametrize(
    ("refine", "left"),
    [
        ({}, ALL),
        ({"injected": 0}, {kind: count for kind, count in ALL.items() if kind[0] == "student"}),
        ({"repairs": False}, {kind: count for kind, count in ALL.items() if kind != ("student", "repair")}),
        # Without the student's own programs only the teacher's are broken.
        ({"successes": False}, {("student", "repair"): 4, ("injected", "repair"): PROBLEMS}),
        ({"successes": False, "repairs": False, "injected": 0}, {}),
    ],
)
def test_each_ingredient_can_be_switched_off_alone(
    second: Shard, box: Sandbox, refine: dict[str, Any], left: dict[tuple[str, str], int]
) -> None:
    examples, dropped = curate_shard(second, recipe(**refine), box)
    found, wanted = counted(examples), dict(left)
    # Of the errors that were drawn some may not be what they were meant to be.
    lost = wanted.get(("injected", "repair"), 0) - found.get(("injected", "repair"), 0)
    assert lost == sum(count for reason, count in dropped.items() if "mutant" in reason)
    assert lost <= 4
    if lost:
        wanted["injected", "repair"] -= lost
    assert found == wanted
    again, _ = curate_shard(second, recipe(**refine), box)
    assert again == examples


def test_an_injected_repair_ends_in_the_program_it_was_made_of(second: Shard, box: Sandbox) -> None:
    examples, _ = curate_shard(second, recipe(injected=3), box)
    earlier = second.storage.read_rows(Shard(second.root, 0, 0).file("examples"), Example)
    verified = {example.example_id: example.completion for example in [*earlier, *examples] if example.task == "solve"}
    injected = [example for example in examples if example.origin == "injected"]
    assert {example.round for example in injected} == {1}
    assert len({example.example_id for example in injected}) == len({example.prompt for example in injected})
    for example in injected:
        assert example.completion == verified[example.example_id.rpartition("!")[0]]
        assert example.completion not in example.prompt


def test_operators_of_errors_that_nobody_injects_are_noted() -> None:
    operators = {"type_error": 1}
    assert recipe(operators=operators).ignored() == []
    assert recipe(operators=operators, injected=0).ignored() == ["refine.operators"]


def test_the_teachers_round_has_no_injected_errors(second: Shard, box: Sandbox) -> None:
    examples, _ = curate_shard(Shard(second.root, 0, 0), recipe(), box)
    assert counted(examples) == {("teacher", "solve"): PROBLEMS}


@pytest.mark.parametrize(
    ("refine", "said"),
    [
        ({"operators": dict.fromkeys(["name_error", "unbound_local", "syntax_error"], 0)}, "set refine.injected to 0"),
        ({"operators": {"name_eror": 1}}, "did you mean 'name_error'"),
        ({"repair_ratio": 0.5, "successes": False, "replay": 0}, "raise refine.replay"),
    ],
)
def test_weights_and_ratios_that_mean_nothing_are_refused(refine: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(**refine)
    assert said in str(caught.value)
