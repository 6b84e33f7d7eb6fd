"""Encoder-decoder students: the loss is the library's own, a batch is the sum of its rows, and nothing leaks."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_student import make_tiny_encoder_decoder
from torch.nn import functional
from training_jobs import sums

from pad_ray.errors import StudentError
from pad_ray.records import Example
from pad_ray.train.encode import Encoded, encode
from pad_ray.train.packing import collate, plan
from tests.train.plain_torch import assert_steps_of_plain_torch

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokenizer(encoder_decoder: Path) -> Any:
    from pad_ray.train.model import load_tokenizer

    return load_tokenizer(str(encoder_decoder))


@pytest.fixture(scope="module")
def encoded(tokenizer: Any) -> tuple[Encoded, ...]:
    return encode(sums(8), tokenizer, 512, apart=True).rows


@pytest.fixture(params=["tied", "untied"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    from pad_ray.train.model import load_model

    folder = make_tiny_encoder_decoder(tmp_path, tied=request.param == "tied")
    return load_model(str(folder), "pretrained", 0, 0)


def alone(model: Any, row: Encoded) -> torch.Tensor:
    """The summed loss of one row by the library: no batch, no padding, scores of every position."""
    labels = torch.tensor([row.ids[row.prompt :]])
    return model(input_ids=torch.tensor([row.ids[: row.prompt]]), labels=labels).loss * row.completion


def gradients(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def completion_loss(model: Any, rows: tuple[Encoded, ...], micro: tuple[int, ...]) -> torch.Tensor:
    from pad_ray.train.model import CompletionScores
    from pad_ray.train.objectives import Completions

    return Completions(rows, 0, 0).sums(CompletionScores(model), micro, "cpu")[0]


def tensors(rows: tuple[Encoded, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(part) for part in collate(rows, tuple(range(len(rows))), 0, start=0).inputs)


def test_the_loss_of_a_padded_batch_is_the_librarys_own(model: Any, encoded: tuple[Encoded, ...]) -> None:
    ids, where, mask, written = tensors(encoded)
    labels = torch.full_like(written, -100)
    for line, row in enumerate(encoded):
        labels[line, : row.completion] = torch.tensor(row.ids[row.prompt :])
    theirs = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    ours = completion_loss(model, encoded, tuple(range(8)))
    assert len({row.prompt for row in encoded}) > 2 and len({row.completion for row in encoded}) > 2
    assert ours.item() / len(where) == pytest.approx(theirs.item(), rel=1e-5)


def test_a_batch_has_the_loss_and_gradients_of_its_rows_alone(model: Any, encoded: tuple[Encoded, ...]) -> None:
    expected = sum(alone(model, row) for row in encoded)
    expected.backward()
    wanted = gradients(model)
    model.zero_grad()
    loss = completion_loss(model, encoded, tuple(range(8)))
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    # As a whole: single elements are sums that nearly cancel, whose rounding depends on the processor's threads.
    assert (gradients(model) - wanted).norm() < 1e-4 * wanted.norm()


def test_nothing_of_a_row_reaches_another_one(model: Any, encoded: tuple[Encoded, ...]) -> None:
    ids, _, mask, written = tensors(encoded)
    before = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written).logits
    ids[0], written[0] = ids[0].flip(0), written[0].flip(0)
    ids[mask == 0] = 7  # nor does padding, whatever stands there
    after = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written).logits
    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:], rtol=0, atol=1e-5)


def test_an_empty_micro_batch_has_no_loss_and_no_gradient(model: Any, encoded: tuple[Encoded, ...]) -> None:
    loss = completion_loss(model, encoded, ())
    loss.backward()
    assert loss.item() == 0
    assert gradients(model).abs().max() == 0


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_zero_stage_takes_the_step_of_plain_torch(
    encoder_decoder: Path, encoded: tuple[Encoded, ...], stage: int
) -> None:
    from pad_ray.train.model import load_model

    assert_steps_of_plain_torch(load_model(str(encoder_decoder), "pretrained", 0, 0), encoded, stage, alone)


def test_what_is_read_and_what_the_loss_is_on_are_prompt_and_completion(tokenizer: Any) -> None:
    examples = sums(60)
    encoding = encode(examples, tokenizer, 512, apart=True)
    read: list[str] = []
    taught: list[str] = []
    course = plan(*encoding.sides, workers=1, tokens_per_batch=512, micro_tokens=512, epochs=1, seed=0)
    for micro in (micro for step in course.steps for batches in step for micro in batches):
        batch = collate(encoding.rows, micro, tokenizer.pad_token_id, start=0)
        assert batch.mask is not None and batch.written is not None
        line = batch.where // batch.written.shape[1]
        assert (batch.written[:, 0] == 0).all()
        for number in range(len(micro)):
            targets = batch.targets[line == number]
            read.append(tokenizer.decode(batch.ids[number][batch.mask[number] == 1]))
            taught.append(tokenizer.decode(targets))
            # What the decoder has before it is what it was taught, one later.
            assert (batch.written[number, 1 : len(targets)] == targets[:-1]).all()
    assert sorted(read) == sorted(f"<s>{example.prompt}</s>" for example in examples)
    assert sorted(taught) == sorted(f"<s>{example.completion}</s>" for example in examples)


def test_a_beginning_token_is_used_only_if_the_tokenizer_uses_it(tokenizer: Any) -> None:
    from tokenizers import processors

    like_t5 = copy.deepcopy(tokenizer)
    like_t5.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 2)]
    )
    (row,) = encode(sums(1), like_t5, 512, apart=True).rows
    (example,) = sums(1)
    assert like_t5.decode([*row.ids]) == f"{example.prompt}</s>{example.completion}</s>"
    assert row.prompt == len(example.prompt) + 1


def test_a_tokenizer_that_loses_the_lines_of_a_program_is_refused(encoder_decoder: Path) -> None:
    from tokenizers import normalizers
    from transformers import AutoTokenizer

    like_t5 = AutoTokenizer.from_pretrained(encoder_decoder)
    like_t5.backend_tokenizer.normalizer = normalizers.Replace("\n", " ")
    with pytest.raises(StudentError, match=r"does not keep programs.*'def solution\(\): .*made for code"):
        encode(sums(5), like_t5, 512, apart=True)
    # A letter that it does not know, here and there, is no reason.
    odd = Example("odd", "solve", "program", "Q\n", "price = '€'\n", "odd", "teacher", 0)
    rows = encode([odd, *sums(5)], AutoTokenizer.from_pretrained(encoder_decoder), 512, apart=True).rows
    assert len(rows) == 6


def test_little_is_padding_though_every_row_has_two_lengths() -> None:
    dice = random.Random(7)
    read = [dice.randint(30, 130) for _ in range(2000)]
    written = [dice.randint(40, 210) for _ in range(2000)]
    course = plan(read, written, workers=1, tokens_per_batch=2048, micro_tokens=2048, epochs=2, seed=0)
    batches = [batch for step in course.steps for worker in step for batch in worker]
    computed = sum(len(batch) * (max(read[i] for i in batch) + max(written[i] for i in batch)) for batch in batches)
    assert course.padding_share == pytest.approx(1 - 2 * (sum(read) + sum(written)) / computed)
    assert 0 <= course.padding_share < 0.02
    assert sorted(i for batch in batches for i in batch) == sorted([*range(2000)] * 2)
    lengths = [one + other for one, other in zip(read, written, strict=True)]
    sizes = [sum(lengths[i] for batches in step for batch in batches for i in batch) for step in course.steps[:-1]]
    assert np.median(sizes) == pytest.approx(2048, rel=0.1)


def test_many_rows_leave_large_micro_batches_whole() -> None:
    dice = random.Random(7)
    read = [dice.randint(30, 130) for _ in range(20_000)]
    written = [dice.randint(40, 210) for _ in range(20_000)]
    course = plan(read, written, workers=1, tokens_per_batch=1024, micro_tokens=1024, epochs=1, seed=0)
    assert course.padding_share < 0.02
    assert all(len(step[0]) == 1 for step in course.steps)


def test_scores_at_some_positions_are_those_of_all_positions(model: Any, encoded: tuple[Encoded, ...]) -> None:
    from pad_ray.train.model import all_scores

    with torch.no_grad():
        expected = sum(
            functional.cross_entropy(
                all_scores(model, row, "cpu")[0], torch.tensor(row.ids[row.prompt :]), reduction="sum"
            ).item()
            for row in encoded[:3]
        )
    assert completion_loss(model, encoded, (0, 1, 2)).item() == pytest.approx(expected, rel=1e-5)
