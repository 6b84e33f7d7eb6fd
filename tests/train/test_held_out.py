"""Held-out questions are the same ones everywhere, and their loss is the mean over their completion tokens."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from training_jobs import sums

from pad_ray.errors import RecipeError, TrainError
from pad_ray.recipe_file import parse_recipe
from pad_ray.recipe_train import Train
from pad_ray.train.checkpoint import State
from pad_ray.train.encode import Encoded, Encoding, encode
from pad_ray.train.held_out import HeldOut, is_held_out, split, validation_steps, watch_training
from pad_ray.train.loop import take_step
from pad_ray.train.packing import in_turn, plan

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def encoded(tokenizer: Any) -> tuple[Encoded, ...]:
    return encode(sums(20), tokenizer, 512).rows


def watching(rows: tuple[Encoded, ...], workers: int = 1, **settings: Any) -> HeldOut:
    steps = plan([9] * 8, workers=workers, tokens_per_batch=18, micro_tokens=18, epochs=2, seed=0).steps
    train = Train(validation=0.5, **{"micro_tokens": 300, **settings})
    return watch_training(Encoding(rows, 0), steps, train, workers=workers, trained=8, pad=0, keep=lambda _: None)


EXAMPLE = sums(1)[0]
NAMES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="~")), min_size=1, unique=True)


@settings(max_examples=40)
@given(NAMES, st.floats(0, 0.5))
def test_a_question_is_on_one_side_with_all_its_programs_and_all_that_was_made_of_it(
    ids: list[str], share: float
) -> None:
    assume(not all(is_held_out(id_, share) for id_ in ids))
    names = [name for id_ in ids for name in (id_, id_, f"{id_}~harder0", f"{id_}~harder0~rephrase2")]
    examples = [replace(EXAMPLE, problem_id=name, example_id=str(i)) for i, name in enumerate(names)]
    sides = split(examples, share)
    assert sorted(one.example_id for side in sides for one in side) == sorted(one.example_id for one in examples)
    learned, others = ({one.problem_id.partition("~")[0] for one in side} for side in sides)
    assert not learned & others


def test_holding_out_every_question_is_refused() -> None:
    [lost] = [example for example in sums(40) if is_held_out(example.problem_id, 0.05)][:1]
    with pytest.raises(TrainError, match=r"train\.validation = 0\.05 holds out every question of the 2 examples"):
        split([lost, lost], 0.05)


def test_about_the_share_of_the_questions_is_held_out_and_a_larger_share_holds_out_more_of_the_same() -> None:
    ids = [f"gsm/{number}" for number in range(4000)]
    small, large = ({id_ for id_ in ids if is_held_out(id_, share)} for share in (0.05, 0.2))
    assert small < large
    assert len(small) == pytest.approx(200, rel=0.25)
    assert not any(is_held_out(id_, 0.0) for id_ in ids)


def test_the_loss_is_due_whenever_so_many_passes_are_complete_and_at_the_end() -> None:
    steps = plan([10] * 40, workers=2, tokens_per_batch=40, micro_tokens=20, epochs=2.3, seed=0).steps
    assert len(steps) == 23  # four rows a step, ten steps a pass
    assert sorted(validation_steps(steps, 40, 0.5)) == [5, 10, 15, 20, 23]
    assert sorted(validation_steps(steps, 40, 0.01)) == list(range(1, 24))
    assert sorted(validation_steps(steps, 40, 99)) == [23]


def start(shape: Any, tokenizer: Any, stage: int) -> Any:
    from pad_ray.train.deepspeed_config import deepspeed_config
    from pad_ray.train.model import load_model, start_engine

    model = load_model(str(shape), "pretrained", 0, len(tokenizer))
    settings = Train(zero_stage=stage)  # pyright: ignore[reportArgumentType]
    return start_engine(model, deepspeed_config(settings, 2), lr=1e-3, weight_decay=0.0, precision="fp32")


@pytest.mark.parametrize("stage", [0, 3])
def test_the_loss_is_the_mean_over_all_completion_tokens_and_measuring_it_changes_no_step(
    shape: Any, tokenizer: Any, encoded: tuple[Encoded, ...], stage: int
) -> None:
    from pad_ray.train.export import gather
    from pad_ray.train.objectives import Completions

    held_out = watching(encoded[10:])
    weights: list[dict[str, torch.Tensor]] = []
    for look in (False, True):
        engine = start(shape, tokenizer, stage)
        if look:
            alone = [watching((row,)).loss(engine) * row.completion for row in encoded[10:]]
            mean = sum(alone) / sum(row.completion for row in encoded[10:])
            assert held_out.loss(engine) == pytest.approx(mean, rel=1e-5)
        for micros in (((0, 1), (2,)), ((3, 4), (5, 6))):
            take_step(engine, Completions(encoded, 0, None), (micros,), due=False)
            if look:
                held_out.loss(engine)
        weights.append(gather(engine.module.model, keep=True))
        engine.destroy()
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), name


def test_the_workers_share_the_rows_without_gap_or_overlap(encoded: tuple[Encoded, ...]) -> None:
    for workers in (1, 2, 3):
        batches = watching(encoded, workers).batches
        assert all(len(step[worker]) == len(step[0]) for step in batches for worker in range(workers))
        assert sorted(row for step in batches for micros in step for micro in micros for row in micro) == list(
            range(len(encoded))
        )


def test_a_loss_that_is_no_number_ends_the_training(encoded: tuple[Encoded, ...]) -> None:
    class Broken(SimpleNamespace):
        start = None

        def eval(self) -> None: ...
        def train(self) -> None: ...
        def __call__(self, _: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
            return torch.full((len(where), 200), math.nan)

    engine = Broken(global_rank=0, world_size=1, global_steps=7, device="cpu", module=Broken())
    with pytest.raises(TrainError, match="held-out questions became nan at step 7"):
        watching(encoded).loss(engine)


def test_the_best_is_the_first_of_the_lowest_and_patience_counts_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    losses = iter([3.0, 2.0, 2.0, 2.5, 1.0])
    held_out = replace(
        watching((Encoded((1, 2), 1),), patience=3, validate_every=0.01), keep=lambda state: kept.append(state.step)
    )
    monkeypatch.setattr(HeldOut, "loss", lambda *_: next(losses))
    engine = SimpleNamespace(train=lambda: None)
    state, seen = State("plan"), list[tuple[int, int, bool]]()
    for step in range(1, 6):
        state, _ = held_out.look(engine, replace(state, step=step))
        seen.append((state.best_step, state.waited, held_out.stops(state)))
    assert seen == [(1, 0, False), (2, 0, False), (2, 1, False), (2, 2, False), (5, 0, False)]
    assert kept == [1, 2, 5]
    assert held_out.stops(replace(state, waited=3))


def test_of_a_curriculum_only_the_stage_of_bare_questions_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    stage = plan([9] * 4, workers=1, tokens_per_batch=18, micro_tokens=18, epochs=1, seed=0)
    steps = in_turn([(stage, ([9] * 4,))] * 2).steps
    assert len(steps) == 4
    held_out = watch_training(
        Encoding((Encoded((1, 2), 1),), 0),
        steps,
        Train(validation=0.5, patience=1, validate_every=0.01),
        workers=1,
        trained=4,
        bare=4,
        pad=0,
        keep=lambda state: kept.append(state.step),
    )
    losses = iter([1.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(HeldOut, "loss", lambda *_: next(losses))
    engine: Any = SimpleNamespace(train=lambda: None)
    state, seen = State("plan"), list[tuple[int, int, float | None, bool]]()
    for step in range(1, 5):
        state, loss = held_out.look(engine, replace(state, step=step))
        seen.append((state.best_step, state.waited, loss, held_out.stops(state)))
    assert seen == [(0, 0, 1.0, False), (0, 0, 2.0, False), (3, 0, 4.0, False), (4, 0, 3.0, False)]
    assert kept == [3, 4]


def test_patience_without_held_out_questions_is_refused_with_the_mend() -> None:
    tree = {"name": "t", "problems": {"train": "x"}, "student": {"model": "m"}, "train": {"patience": 3}}
    with pytest.raises(RecipeError, match=r"train\.patience: without held-out questions.*set train\.validation"):
        parse_recipe(tree)
