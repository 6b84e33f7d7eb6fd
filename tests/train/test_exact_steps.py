"""A round of an exact number of steps, and one that has nothing new to learn."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.train.packing import exactly, plan


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    steps=st.integers(1, 50),
    workers=st.integers(1, 3),
    sides=st.integers(1, 2),
)
def test_a_training_takes_exactly_the_steps_it_was_told(
    lengths: list[int], steps: int, workers: int, sides: int
) -> None:
    lay_out = partial(plan, *[lengths] * sides, workers=workers, tokens_per_batch=64, micro_tokens=32, seed=0)
    assert len(exactly(steps, lay_out).steps) == steps


@pytest.mark.parametrize("steps", [20, 40])
def test_no_row_is_seen_a_time_more_than_another_before_its_pass(steps: int) -> None:
    lay_out = partial(plan, [8] * 32, workers=1, tokens_per_batch=16, micro_tokens=16, seed=0)
    seen = Counter(
        row for step in exactly(steps, lay_out).steps for batches in step for batch in batches for row in batch
    )
    assert max(seen.values()) - min(seen[row] for row in range(32)) <= 1
