"""The time budget: what it promises of the sizes, whatever the machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.budget import QUESTIONS, Shape, Speeds, fit

LAPTOP = Shape(
    probes=0,
    suites=3,
    longest_suite=72,
    prompts=("direct", "zero_shot", "few_shot"),
    max_tokens=160,
    prompt=70,
    completion=60,
    epoch=40_000,
    epochs=4,
    most_tokens=None,
    rounds=1,
    samples=1,
    problems=500,
)
speeds = st.builds(Speeds, st.floats(1, 1e6), st.floats(1, 1e6), st.floats(1, 1e6))
shapes = st.builds(
    Shape,
    probes=st.integers(0, 3),
    suites=st.integers(1, 5),
    longest_suite=st.integers(1, 500),
    prompts=st.sampled_from([(), ("zero_shot",), LAPTOP.prompts]),
    max_tokens=st.integers(16, 512),
    prompt=st.floats(4, 1000),
    completion=st.floats(8, 400),
    epoch=st.integers(100, 10**7),
    epochs=st.floats(0.1, 10),
    most_tokens=st.none() | st.integers(1, 10**6),
    rounds=st.integers(0, 4),
    samples=st.integers(1, 4),
    problems=st.integers(1, 10**5),
)


@given(st.floats(0, 10**5), speeds, shapes)
def test_a_run_ends_in_its_time_unless_it_is_the_smallest_that_makes_sense(
    seconds: float, speed: Speeds, shape: Shape
) -> None:
    sizes = fit(seconds, speed, shape)
    assert sizes.seconds <= seconds + 1 or sizes == fit(0, speed, shape)


@given(st.floats(0, 10**5), speeds, shapes)
def test_sizes_stay_within_the_recipe(seconds: float, speed: Speeds, shape: Shape) -> None:
    sizes = fit(seconds, speed, shape)
    assert 1 <= sizes.questions <= min(QUESTIONS[1], shape.longest_suite)
    assert 0 < sizes.train_tokens <= max(1, min(round(shape.epochs * shape.epoch), shape.most_tokens or 10**9))
    assert sizes.refine_problems <= shape.problems
    if not shape.rounds:
        assert sizes.refine_problems == sizes.refine_tokens == 0


@pytest.mark.parametrize("factor", [0.25, 0.5, 2, 4])
def test_a_faster_machine_trains_more_and_never_asks_less(factor: float) -> None:
    here = Speeds(130, 400, 100)
    other = Speeds(130 * factor, 400 * factor, 100 * factor)
    slow, fast = sorted([here, other], key=lambda one: one.train_tokens_per_s)
    less, more = fit(900, slow, LAPTOP), fit(900, fast, LAPTOP)
    assert more.train_tokens > less.train_tokens
    assert more.questions >= less.questions >= QUESTIONS[0]


def test_what_is_not_evaluated_goes_into_training() -> None:
    here = Speeds(130, 400, 100)
    without = replace(LAPTOP, prompts=())
    assert fit(900, here, without).train_tokens > fit(900, here, LAPTOP).train_tokens
