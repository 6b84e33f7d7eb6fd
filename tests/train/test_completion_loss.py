"""What DeepSpeed steps on is the mean loss over the step's completion tokens, however the step is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from training_jobs import sums

from pad_ray.train.encode import Encoded, encode
from pad_ray.train.packing import collate
from tests.train.plain_torch import assert_steps_of_plain_torch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def encoded(tokenizer: Any) -> tuple[Encoded, ...]:
    return encode(sums(8), tokenizer, 512).rows


@pytest.fixture
def model(shape: Path, tokenizer: Any) -> Any:
    from pad_ray.train.model import load_model

    return load_model(str(shape), "pretrained", 0, len(tokenizer))


def alone(model: Any, row: Encoded) -> torch.Tensor:
    """The loss of one row, the plain way: no batch, no padding, scores of every position."""
    ids = torch.tensor([row.ids])
    scores = model(input_ids=ids).logits[0, row.prompt - 1 : -1]
    return functional.cross_entropy(scores, ids[0, row.prompt :], reduction="sum")


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def completion_loss(model: Any, rows: tuple[Encoded, ...], micro: tuple[int, ...]) -> torch.Tensor:
    from pad_ray.train.model import CompletionScores
    from pad_ray.train.objectives import Completions

    return Completions(rows, 0, None).sums(CompletionScores(model), micro, "cpu")[0]


def test_a_padded_batch_has_the_loss_and_gradients_of_its_rows_alone(model: Any, encoded: tuple[Encoded, ...]) -> None:
    assert len({len(row.ids) for row in encoded}) > 2, "rows of equal length would prove nothing about padding"
    expected = sum(alone(model, row) for row in encoded)
    expected.backward()
    wanted = gradients(model)
    model.zero_grad()

    loss = completion_loss(model, encoded, tuple(range(8)))
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(gradients(model), wanted, rtol=1e-4, atol=1e-5)


def test_an_empty_micro_batch_has_no_loss_and_no_gradient(model: Any, encoded: tuple[Encoded, ...]) -> None:
    loss = completion_loss(model, encoded, ())
    loss.backward()
    assert loss.item() == 0
    assert gradients(model).abs().max() == 0


def test_scores_outside_the_loss_are_still_there_for_generation(model: Any, encoded: tuple[Encoded, ...]) -> None:
    from pad_ray.train.model import CompletionScores

    scores = CompletionScores(model)
    batch = collate(encoded, (0, 1), 0)
    assert len(scores(*map(torch.from_numpy, batch.inputs))) == len(batch.targets)
    ids = torch.tensor([encoded[0].ids])
    assert scores.model(input_ids=ids).logits.shape[:2] == ids.shape


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_zero_stage_takes_the_step_of_plain_torch(model: Any, encoded: tuple[Encoded, ...], stage: int) -> None:
    assert_steps_of_plain_torch(model, encoded, stage, alone)


def test_mixed_precision_is_taken_only_where_it_was_asked_for_and_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    from pad_ray.train import model

    for has in (True, False):
        monkeypatch.setattr(model, "multiplies_bf16", lambda _, has=has: has)
        assert [model.mixed_precision(asked, "cpu") for asked in ("auto", "fp32", "bf16")] == [has, False, False]
