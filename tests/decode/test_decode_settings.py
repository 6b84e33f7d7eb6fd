"""Settings of a decoder that would do nothing are refused; those in use are what a summary says of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pad_ray.recipe import Decode, Recipe


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"beams": 8}, "decode.beams does nothing with decode.kind greedy"),
        ({"kind": "vote", "continuations": 2}, "decode.continuations does nothing with decode.kind vote"),
        ({"kind": "vote", "scorer": "alignment"}, "decode.scorer does nothing"),
        ({"kind": "beam", "samples": 8}, "decode.samples does nothing with decode.kind beam"),
        ({"kind": "beam", "weight": 0.3}, "decode.weight does nothing without decode.scorer"),
        ({"kind": "beam", "temperature": 0}, "all continuations of a line are the same"),
    ],
)
def test_what_would_do_nothing_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Decode.model_validate(settings)


def test_a_resolved_recipe_that_names_every_key_is_read_again() -> None:
    for settings in (Decode(), Decode(kind="vote", samples=8), Decode(kind="beam", scorer="verifier", weight=0.3)):
        assert Decode.model_validate(settings.model_dump()) == settings


def test_only_keys_in_use_are_told() -> None:
    assert Decode().extras() == Decode(kind="vote", samples=4).extras() == {}
    assert Decode(kind="beam", scorer="verifier", repairs=1).extras() == {
        "beams": 4, "continuations": 4, "temperature": 0.7, "scorer": "verifier", "weight": 1.0, "repairs": 1,
    }  # fmt: skip
    assert (Decode().width, Decode(kind="vote", samples=4).width, Decode(kind="beam").width) == (1, 4, 16)


def test_a_run_whose_students_have_no_verifier_is_refused_at_its_beginning() -> None:
    section = {"kind": "beam", "scorer": "verifier"}
    with pytest.raises(ValidationError, match=r"decode\.scorer: the students of a run have no verifier"):
        Recipe.model_validate({"name": "r", "problems": {"train": "p"}, "student": {"model": "s"}, "decode": section})
