"""The paper's alignment: every line by its nearest sentence of the question, in logarithms; each text embedded once."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import pytest

from pad_ray.decode.scorers import Alignment, Written, code_lines, sentences

QUESTION = "Tom has 3 eggs. He buys 2.5 more! How many now?"
VECTORS = {
    "Tom has 3 eggs.": (1.0, 0.0),
    "He buys 2.5 more!": (0.0, 1.0),
    "How many now?": (-1.0, 0.0),
    "eggs = 3": (0.8, 0.6),
    "eggs += 2.5": (0.0, 1.0),
    "return cows": (0.0, -1.0),
}


class Table:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([VECTORS[text] for text in texts])


def written(program: str) -> Written:
    return Written(QUESTION, "prompt", (1,), program)


def test_a_path_has_the_mean_logarithm_of_its_lines_shares() -> None:
    one, two = Alignment(Table()).score(
        [
            written("def solution():\n    eggs = 3\n"),
            written("def solution():\n    eggs = 3\n\n    eggs += 2.5\n    return cows\n"),
        ]
    )
    assert one == pytest.approx(log(0.9))
    # The last line is at right angles to the nearest sentence: half a share.
    assert two == pytest.approx((log(0.9) + log(1.0) + log(0.5)) / 3)


def test_a_text_is_embedded_once_however_many_beams_hold_it() -> None:
    table = Table()
    alignment = Alignment(table)
    for _ in range(2):
        alignment.score([written("eggs = 3\n"), written("eggs = 3\neggs += 2.5\n")])
    assert sorted(table.asked) == sorted({*sentences(QUESTION), "eggs = 3", "eggs += 2.5"})


def test_a_program_without_a_step_is_neither_good_nor_bad() -> None:
    assert Alignment(Table()).score([written("def solution():\n")]) == [0.0]


def test_sentences_are_not_cut_at_decimal_points_and_steps_leave_out_the_head() -> None:
    assert sentences(QUESTION) == ["Tom has 3 eggs.", "He buys 2.5 more!", "How many now?"]
    assert code_lines("def solution():\n    # first\n\n    a = 1\n") == ["# first", "a = 1"]
