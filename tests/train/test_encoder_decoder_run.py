"""Encoder-decoder students through whole trainings: the same loop, the same states, a folder that writes the same."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training_killed import descendants, metrics, wait_until
from test_training_run import run, steps, stop_after, weights
from training_jobs import MakeJob, sums

from pad_ray.decode.loading import load_engine
from pad_ray.errors import TrainError
from pad_ray.train import loop
from pad_ray.train.launch import TrainJob, run_training
from pad_ray.train.progress import last_progress

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = [example.prompt for example in sums(5)]


def writing_from_memory(config: dict[str, Any]) -> Any:
    """The training of a worker; before the export the model in memory writes a text for each prompt, by the library."""
    from pad_ray.train import export

    job, export_student = config["job"], export.export_student

    def write_and_export(engine: Any, tokenizer: Any, *rest: Any) -> None:
        model = engine.module.model.eval()
        texts: list[str] = []
        for prompt in config["prompts"]:
            ids = tokenizer(prompt, return_tensors="pt").input_ids
            # With ZeRO 3 every worker writes: the weights lie scattered over them.
            written = model.generate(input_ids=ids, max_new_tokens=40, do_sample=False)
            texts.append(tokenizer.decode(written[0], skip_special_tokens=True))
        if engine.global_rank == 0:
            (Path(job.root) / "memory.json").write_text(json.dumps(texts))
        export_student(engine, tokenizer, *rest)

    export.export_student = write_and_export
    try:
        return config["loop"](config)
    finally:
        export.export_student = export_student


@pytest.fixture
def written_from_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainings of this test leave `memory.json` in their run folder."""
    from ray import cloudpickle

    train_loop, module = loop.train_loop, sys.modules[__name__]

    def training(config: dict[str, Any]) -> Any:
        return writing_from_memory({**config, "prompts": PROMPTS, "loop": train_loop})

    monkeypatch.setattr(loop, "train_loop", training)
    cloudpickle.register_pickle_by_value(module)  # workers cannot import it
    yield
    cloudpickle.unregister_pickle_by_value(module)


def assert_writes_as_in_memory(job: TrainJob) -> None:
    root = Path(job.root)
    done = load_engine(root / job.student).generate(PROMPTS, max_tokens=40, temperature=0, seed=0)
    assert [one.text for one in done] == json.loads((root / "memory.json").read_text())


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


def kill_a_worker_after(step: int, job: TrainJob, killed: list[int]) -> None:
    """Wait until the training has come so far, then kill one of its workers."""
    wait_until(lambda: (progress := last_progress(metrics(job))) and progress.step > step)
    killed += [pid for pid, name in descendants(os.getpid()).items() if "RayTrainWorker" in name][-1:]
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session", "written_from_memory")
@pytest.mark.parametrize(("stage", "epochs", "death"), [(1, 6, False), (2, 20, True), (3, 6, False)])
def test_two_workers_learn_also_if_one_is_killed_and_export_what_they_hold_in_memory(
    make_job: MakeJob, encoder_decoder: Path, stage: int, epochs: int, death: bool
) -> None:
    settings = {"workers": 2, "zero_stage": stage, "checkpoint_s": 1}
    job = make_job(model=str(encoder_decoder), init="pretrained", epochs=epochs, lr=1e-2, settings=settings)
    killed: list[int] = []
    killer = threading.Thread(target=kill_a_worker_after, args=(20, job, killed))
    if death:
        killer.start()
    checkpoint = run(job)
    if death:
        killer.join()
    assert len(killed) == death
    lines = steps(job)
    assert [line.step for line in lines] == list(range(1, checkpoint.steps + 1))
    assert lines[-1].steps == checkpoint.steps
    assert lines[-1].tokens == epochs * sum(len(example.completion) + 2 for example in sums(40))
    assert checkpoint.loss < 0.6 * lines[0].loss
    assert_writes_as_in_memory(job)
