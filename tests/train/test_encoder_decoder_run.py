"""Encoder-decoder students through whole trainings: the same loop, the same states, a folder that writes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from from_memory import assert_writes_as_in_memory
from test_training_run import run, steps, stop_after, weights
from training_jobs import MakeJob, sums

from pad_ray.errors import TrainError
from pad_ray.train.launch import run_training

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_training_learns_and_its_folder_writes_what_the_model_in_memory_wrote(
    make_job: MakeJob, encoder_decoder: Path, written_from_memory: None
) -> None:
    job = make_job(model=str(encoder_decoder), init="pretrained", epochs=6, lr=1e-2)
    checkpoint = run(job)
    assert checkpoint.loss < 0.6 * steps(job)[0].loss
    assert checkpoint.tokens == 6 * sum(len(example.completion) + 2 for example in sums(40))
    summary = json.loads((Path(job.root) / job.checkpoint / "summary.json").read_text())
    assert 0 <= summary["padding_share"] < 0.1  # forty rows hold few of like lengths
    assert_writes_as_in_memory(job)


def test_a_head_of_its_own_is_exported_with_the_rest(make_job: MakeJob, tmp_path: Path) -> None:
    from tiny_student import make_tiny_encoder_decoder

    job = make_job(model=str(make_tiny_encoder_decoder(tmp_path / "untied", tied=False)), init="pretrained", epochs=1)
    run(job)
    assert {"lm_head.weight", "shared.weight"} <= weights(job).keys()


def test_a_stopped_training_goes_on_to_the_same_end_dropout_included(
    make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tiny_student import make_tiny_encoder_decoder

    shape = str(make_tiny_encoder_decoder(tmp_path / "dropping", dropout=0.1))
    whole, job = make_job("whole", model=shape), make_job("stopped", model=shape, settings={"checkpoint_s": 1e-9})
    expected = run(whole)
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    checkpoint = run(job)
    assert (checkpoint.steps, checkpoint.tokens) == (expected.steps, expected.tokens)
    assert [line.loss for line in steps(job)] == pytest.approx([line.loss for line in steps(whole)], rel=1e-3)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(job)[name], weight, rtol=1e-3, atol=1e-5, msg=name)


def test_bfloat16_trains_and_exports(make_job: MakeJob, encoder_decoder: Path) -> None:
    job = make_job(model=str(encoder_decoder), epochs=4, lr=1e-2, settings={"precision": "bf16"})
    assert run(job).loss < 0.8 * steps(job)[0].loss
    assert {weight.dtype for weight in weights(job).values()} == {torch.bfloat16}


def test_an_export_that_is_not_the_trained_model_gets_no_name(
    make_job: MakeJob, encoder_decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pad_ray.train import export

    gather = export.gather

    def spoiled(model: Any, keep: bool) -> dict[str, torch.Tensor]:
        return {name: weight * (1.05 if "EncDec" in name else 1) for name, weight in gather(model, keep).items()}

    monkeypatch.setattr(export, "gather", spoiled)
    job = make_job(model=str(encoder_decoder), epochs=1)
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    assert "is not the trained one" in str(error)
    assert not (Path(job.root) / job.student).exists()
