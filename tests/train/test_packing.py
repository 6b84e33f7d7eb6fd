"""The plan: what goes through the model, in which order, with how little padding; and the loss mask, decoded."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_jobs import sums

from pad_ray.train.encode import encode
from pad_ray.train.packing import Plan, collate, in_turn, plan

DICE = random.Random(7)
LENGTHS = [DICE.randint(60, 240) for _ in range(2000)]


def lay_out(lengths: list[int], **changes: Any) -> Plan:
    chosen = {"workers": 1, "tokens_per_batch": 2048, "micro_tokens": 2048, "epochs": 1, "seed": 0}
    return plan(lengths, **{**chosen, **changes})


def rows(course: Plan) -> list[int]:
    return [row for step in course.steps for batches in step for batch in batches for row in batch]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 300), min_size=4, max_size=80),
    workers=st.integers(1, 4),
    epochs=st.sampled_from([0.5, 1, 1.5, 3]),
    micro_tokens=st.sampled_from([64, 300, 5000]),
    seed=st.integers(0, 5),
)
def test_every_row_is_seen_once_per_epoch_within_the_capacity(
    lengths: list[int], workers: int, epochs: float, micro_tokens: int, seed: int
) -> None:
    course = lay_out(lengths, workers=workers, epochs=epochs, micro_tokens=micro_tokens, seed=seed)
    seen = Counter(rows(course))
    assert sum(seen.values()) == round(len(lengths) * epochs)
    assert all(int(epochs) <= seen[row] <= -int(-epochs // 1) for row in range(len(lengths)))
    for step in course.steps:
        assert len(step) == workers
        assert len({len(batches) for batches in step}) == 1, "collectives need the same number everywhere"
        for batch in (batch for batches in step for batch in batches):
            assert len(batch) <= 1 or len(batch) * max(lengths[i] for i in batch) <= micro_tokens


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(2, 300), min_size=1, max_size=80),
    written=st.integers(1, 50),
    workers=st.integers(2, 5),
    tokens=st.sampled_from([64, 1000, 5000]),
    micro_tokens=st.sampled_from([64, 300, 5000]),
)
def test_every_step_holds_the_same_rows_for_any_number_of_workers(
    lengths: list[int], written: int, workers: int, tokens: int, micro_tokens: int
) -> None:
    for sides in ([lengths], [lengths, [length % written for length in lengths]]):
        chosen = {"tokens_per_batch": tokens, "micro_tokens": micro_tokens, "epochs": 2.0, "seed": 3}
        alone, together = (plan(*sides, workers=number, **chosen) for number in (1, workers))  # pyright: ignore[reportArgumentType]
        held = [
            [sorted(row for batches in step for batch in batches for row in batch) for step in course.steps]
            for course in (alone, together)
        ]
        assert held[0] == held[1]


def test_workers_of_a_step_have_about_the_same_to_do() -> None:
    for workers in (2, 3, 4):
        for step in lay_out(LENGTHS, workers=workers, tokens_per_batch=4096).steps[:-1]:
            tokens = [sum(LENGTHS[i] for batch in batches for i in batch) for batches in step]
            assert max(tokens) < 2 * min(tokens)


def test_less_than_two_percent_of_the_computed_tokens_are_padding() -> None:
    course = lay_out(LENGTHS, epochs=3)
    assert 0 <= course.padding_share < 0.02
    computed = sum(
        len(batch) * max(LENGTHS[i] for i in batch) for step in course.steps for batches in step for batch in batches
    )
    assert course.padding_share == pytest.approx(1 - 3 * sum(LENGTHS) / computed)


def test_a_step_holds_about_the_tokens_asked_for() -> None:
    course = lay_out(LENGTHS, tokens_per_batch=4096, micro_tokens=1024, workers=2)
    sizes = [sum(LENGTHS[i] for batches in step for batch in batches for i in batch) for step in course.steps[:-1]]
    assert np.median(sizes) == pytest.approx(4096, rel=0.1)
    assert max(sizes) <= 4096


def test_the_plan_depends_on_the_seed_and_on_nothing_else() -> None:
    assert lay_out(LENGTHS) == lay_out(list(LENGTHS))
    assert rows(lay_out(LENGTHS)) != rows(lay_out(LENGTHS, seed=1))


def test_every_epoch_has_its_own_order() -> None:
    order = rows(lay_out(LENGTHS, epochs=2))
    assert order[: len(LENGTHS)] != order[len(LENGTHS) :]


def test_neighbouring_steps_are_of_mixed_length() -> None:
    heads = [LENGTHS[step[0][0][0]] for step in lay_out(LENGTHS).steps]
    assert heads != sorted(heads)
    assert abs(float(np.corrcoef(heads[:-1], heads[1:])[0, 1])) < 0.5


def test_max_steps_ends_the_same_plan_earlier() -> None:
    assert lay_out(LENGTHS, max_steps=7).steps == lay_out(LENGTHS).steps[:7]


def test_a_worker_without_rows_keeps_pace_with_an_empty_micro_batch(tokenizer: Any) -> None:
    (step,) = lay_out([10, 11, 12], workers=4, micro_tokens=12).steps
    assert sorted(map(len, (batches[0] for batches in step))) == [0, 1, 1, 1]
    batch = collate(encode(sums(3), tokenizer, 512).rows, (), 0)
    assert batch.ids.shape == (1, 1)
    assert len(batch.where) == len(batch.targets) == 0


def test_the_unmasked_tokens_of_every_batch_are_the_completions(tokenizer: Any) -> None:
    examples = sums(60)
    encoded = encode(examples, tokenizer, 512).rows
    course = lay_out([len(row.ids) for row in encoded], tokens_per_batch=512, micro_tokens=512)
    decoded: list[str] = []
    for micro in (micro for step in course.steps for batches in step for micro in batches):
        batch = collate(encoded, micro, tokenizer.pad_token_id)
        line = batch.where // batch.ids.shape[1]
        for number in range(len(micro)):
            decoded.append(tokenizer.decode(batch.targets[line == number]))
        # Each target is what stands right after the position it is predicted from.
        assert (batch.ids.reshape(-1)[batch.where + 1] == batch.targets).all()
    assert sorted(decoded) == sorted(example.completion + tokenizer.eos_token for example in examples)


def test_padding_is_only_on_the_right(tokenizer: Any) -> None:
    encoded = encode(sums(12), tokenizer, 512).rows
    batch = collate(encoded, tuple(range(12)), -1)
    for line, row in zip(batch.ids, encoded, strict=True):
        assert tuple(line[: len(row.ids)]) == tuple(row.ids)
        assert (line[len(row.ids) :] == -1).all()


def test_plans_in_turn_go_through_their_own_rows_and_count_the_padding_of_all() -> None:
    first, second = LENGTHS[:50], LENGTHS[50:90]
    parts = [
        (plan(lengths, workers=2, tokens_per_batch=256, micro_tokens=64, epochs=epochs, seed=7), [lengths])
        for lengths, epochs in ((first, 1), (second, 2))
    ]
    course = in_turn(parts)
    rows = [sorted(i for batches in step for micro in batches for i in micro) for step in course.steps]
    cut = len(parts[0][0].steps)
    assert sorted(i for step in rows[:cut] for i in step) == list(range(50))
    assert sorted(i for step in rows[cut:] for i in step) == sorted([*range(50, 90)] * 2)
    lengths = [*first, *second]
    computed = sum(
        len(micro) * max(lengths[i] for i in micro)
        for step in course.steps
        for batches in step
        for micro in batches
        if micro
    )
    assert course.padding_share == pytest.approx(1 - (sum(first) + 2 * sum(second)) / computed)
