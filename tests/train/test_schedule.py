"""The learning rate rises from zero to its peak and then takes the course that was asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from pad_ray.recipe_train import Train
from pad_ray.train.schedule import learning_rate


def rates(schedule: str, warmup: float = 0.1, steps: int = 100) -> list[float]:
    settings = Train(schedule=schedule, warmup=warmup)  # pyright: ignore[reportArgumentType]
    return [learning_rate(step, steps, 2.0, settings) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_warm_up_rises_to_the_peak_and_never_starts_at_zero(schedule: str) -> None:
    course = rates(schedule)
    assert 0 < course[0] < 0.25
    assert all(earlier < later for earlier, later in pairwise(course[:11]))
    assert course[10] == max(course) == 2.0


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_after_the_peak_it_falls_to_almost_nothing(schedule: str) -> None:
    course = rates(schedule)[10:]
    assert all(earlier > later for earlier, later in pairwise(course))
    assert 0 < course[-1] < 0.05


def test_constant_stays_at_the_peak() -> None:
    assert set(rates("constant")[10:]) == {2.0}


def test_without_warm_up_the_first_step_is_at_the_peak_even_if_it_is_the_only_one() -> None:
    assert rates("cosine", warmup=0, steps=1) == [2.0]
