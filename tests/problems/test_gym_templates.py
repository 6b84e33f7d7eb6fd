"""gym://…&templates=train|heldout: a template is on one side only, the same everywhere, and ids stay."""

from __future__ import annotations

from typing import Any

import pytest
import reasoning_gym

from pad_ray.errors import ProblemError
from pad_ray.problems import take_in
from pad_ray.problems.gym import side_of

SIZE = 400


def uri(seed: int, side: str = "") -> str:
    return f"gym://gsm_symbolic?size={SIZE}&seed={seed}" + (f"&templates={side}" if side else "")


def templates(seed: int, side: str) -> set[frozenset[str]]:
    items = reasoning_gym.create_dataset("gsm_symbolic", size=SIZE, seed=seed)
    kept = [int(problem.problem_id.split("/")[2]) for problem in take_in(uri(seed, side), "x").problems]
    return {frozenset(items[index]["metadata"]["variables"]) for index in kept}


def test_no_template_is_on_both_sides_whatever_the_seeds() -> None:
    seeds = (7, 90_007)
    train = set[frozenset[str]]().union(*(templates(seed, "train") for seed in seeds))
    held_out = set[frozenset[str]]().union(*(templates(seed, "heldout") for seed in seeds))
    assert not train & held_out
    assert (len(train), len(held_out)) == (72, 13)


def test_a_held_out_template_shares_no_13_words_in_a_row_with_training() -> None:
    held_out = take_in(uri(90_007, "heldout"), "held_out").problems
    assert take_in(uri(7, "train"), "train", exclude=held_out).overlap == 0
    assert take_in(uri(7), "train", exclude=held_out).overlap > 0


def test_the_sides_part_the_items_and_leave_their_ids() -> None:
    ids = {side: {p.problem_id for p in take_in(uri(7, side), "x").problems} for side in ("", "train", "heldout")}
    assert ids["train"] | ids["heldout"] == ids[""]
    assert not ids["train"] & ids["heldout"]


@pytest.mark.parametrize(
    ("names", "side"),
    [
        (("name", "item", "price"), "heldout"),
        (("price", "name", "item"), "heldout"),
        (("name", "day", "rate"), "heldout"),
        (("name", "item", "count"), "train"),
        (("total", "day", "rate"), "train"),
    ],
)
def test_the_rule_is_a_hash_that_never_changes(names: tuple[str, ...], side: str) -> None:
    assert side_of({"metadata": {"variables": dict.fromkeys(names, 1)}}, "x") == side


@pytest.mark.parametrize("item", [{}, {"metadata": {}}, {"metadata": {"variables": []}}])
def test_an_item_without_variables_has_no_side(item: dict[str, Any]) -> None:
    with pytest.raises(ProblemError, match="does not name the variables"):
        side_of(item, "x")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gym://lcm?templates=train", r"gym://lcm\?templates=train item 0: this task does not name the variables"),
        ("gym://gsm_symbolic?templates=test", "templates is 'test'; it must be train or heldout"),
        ("gym://gsm_symbolic?size=1&seed=7&templates=heldout", "none of the 1 items has a heldout template"),
    ],
)
def test_templates_that_cannot_be_had_are_explained(address: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        take_in(address, "train")
