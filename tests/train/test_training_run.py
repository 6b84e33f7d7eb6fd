"""One worker, whole trainings in this process: what a training leaves behind, and that a stopped one goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_jobs import MakeJob, sums

from pad_ray.errors import StudentError, TrainError
from pad_ray.records import Checkpoint, Example
from pad_ray.storage import Storage
from pad_ray.train import loop
from pad_ray.train.launch import TrainJob, finished, run_training
from pad_ray.train.progress import MetricsLog, TrainProgress, read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")


def run(job: TrainJob) -> Checkpoint:
    result = run_training(job, gpu=False)
    assert isinstance(result, Checkpoint), result
    return result


def weights(job: TrainJob) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(job.root) / job.student / "model.safetensors")


def steps(job: TrainJob) -> list[TrainProgress]:
    return read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody pressed Ctrl-C when this step had been logged."""
    append = MetricsLog.append

    def appending(log: MetricsLog, progress: TrainProgress) -> None:
        append(log, progress)
        if progress.step == step:
            log.flush()
            raise KeyboardInterrupt

    monkeypatch.setattr(MetricsLog, "append", appending)


def test_a_training_learns_and_says_what_it_did(make_job: MakeJob) -> None:
    examples = sums(40)
    job = make_job(examples=examples, epochs=6, settings={"max_length": 75})
    checkpoint = run(job)
    summary = json.loads((Path(job.root) / job.checkpoint / "summary.json").read_text())
    lines = steps(job)
    assert [line.step for line in lines] == list(range(1, checkpoint.steps + 1))
    assert {line.steps for line in lines} == {checkpoint.steps}
    assert checkpoint.loss < 0.6 * lines[0].loss
    last = lines[-(checkpoint.steps // 10) :]
    assert checkpoint.loss == pytest.approx(sum(line.loss for line in last) / len(last))
    long = [example for example in examples if len(example.prompt + example.completion) + 1 > 75]
    assert summary["dropped_too_long"] == len(long) > 0
    assert summary["examples"] == 40 - len(long)
    kept = sum(len(example.completion) + 1 for example in examples if example not in long)
    assert checkpoint.tokens == lines[-1].tokens == 6 * kept
    assert (summary["state"], summary["workers"], summary["zero_stage"]) == ("done", 1, 0)
    assert summary["seconds"] > 0
    assert 0 <= summary["padding_share"] < 1
    assert finished(Storage(job.root), job.checkpoint) == checkpoint
    assert (checkpoint.round, checkpoint.parent, checkpoint.student) == (0, "shape", "round-0/student")


def test_the_student_folder_stands_alone(make_job: MakeJob, tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job = make_job()
    run(job)
    folder = Path(job.root) / job.student
    assert json.loads((folder / "pad_ray.json").read_text()) == job.card
    assert AutoTokenizer.from_pretrained(folder)(sums(1)[0].prompt) == tokenizer(sums(1)[0].prompt)
    student = AutoModelForCausalLM.from_pretrained(folder)
    assert student.generation_config.eos_token_id == tokenizer.eos_token_id
    assert student.generation_config.pad_token_id == tokenizer.pad_token_id
    assert not list(folder.parent.glob(".student-*")), "nothing temporary is left"


def test_an_export_that_is_not_the_trained_model_gets_no_name(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pad_ray.train import export

    gather = export.gather

    def spoiled(model: Any, keep: bool) -> dict[str, torch.Tensor]:
        return {name: weight * 1.01 for name, weight in gather(model, keep).items()}

    job = make_job()
    monkeypatch.setattr(export, "gather", spoiled)
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    assert "is not the trained one" in str(error)
    assert not (Path(job.root) / job.student).exists()
    monkeypatch.undo()
    assert run(job).steps == len(steps(job)), "the training itself is kept"


def test_a_stopped_training_goes_on_and_ends_as_if_it_had_not_stopped(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_job("whole")
    expected = run(whole)

    job = make_job("stopped", settings={"checkpoint_s": 1e-9})
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    assert finished(Storage(job.root), job.checkpoint) is None
    taken: list[int] = []
    take_step = loop.take_step

    def counting(engine: Any, *rest: Any, **named: Any) -> Any:
        taken.append(engine.global_steps)
        return take_step(engine, *rest, **named)

    monkeypatch.setattr(loop, "take_step", counting)
    checkpoint = run(job)
    assert taken == list(range(4, expected.steps)), "only what came after the last saved state is done again"
    assert (checkpoint.steps, checkpoint.tokens) == (expected.steps, expected.tokens)
    assert checkpoint.loss == pytest.approx(expected.loss, rel=1e-4)
    assert [line.step for line in steps(job)] == list(range(1, expected.steps + 1)), "each step is logged once"
    assert [line.loss for line in steps(job)] == pytest.approx([line.loss for line in steps(whole)], rel=1e-3)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(job)[name], weight, rtol=1e-3, atol=1e-5, msg=name)
    assert len(list((Path(job.root) / job.checkpoint / "state").iterdir())) <= 2


def test_a_state_of_other_examples_is_not_resumed_silently(make_job: MakeJob) -> None:
    job = make_job()
    run(job)
    Storage(job.root).write_rows(job.mixture, Example, sums(40, seed=9))
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    assert "belongs to other examples or settings" in str(error)


def test_a_next_round_starts_from_the_weights_of_the_last(make_job: MakeJob) -> None:
    first = make_job(epochs=6)
    run(first)
    second = replace(
        first,
        model=str(Path(first.root) / first.student),
        init="pretrained",
        checkpoint="round-1/checkpoint",
        student="round-1/student",
    )
    run(second)
    assert steps(second)[0].loss < 0.7 * steps(first)[0].loss


def test_bfloat16_trains_and_exports(make_job: MakeJob) -> None:
    job = make_job(epochs=4, settings={"precision": "bf16"})
    assert run(job).loss < 0.8 * steps(job)[0].loss
    assert {weight.dtype for weight in weights(job).values()} == {torch.bfloat16}


def test_a_diverging_loss_is_an_error_with_a_mend(make_job: MakeJob) -> None:
    error = run_training(make_job(lr=1e30), gpu=False)
    assert isinstance(error, TrainError)
    assert "diverged" in str(error)
    assert "Lower train.lr" in str(error)


@pytest.mark.parametrize(
    ("examples", "said"), [([], "holds no examples"), (sums(3), r"none fits into train.max_length = 16")]
)
def test_nothing_to_train_on_is_said_plainly(make_job: MakeJob, examples: list[Example], said: str) -> None:
    error = run_training(make_job(examples=examples, settings={"max_length": 16}), gpu=False)
    assert isinstance(error, TrainError)
    assert said in str(error)


def test_a_tokenizer_larger_than_the_model_is_refused(make_job: MakeJob, shape: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(shape, wrong)
    config = json.loads((wrong / "config.json").read_text())
    (wrong / "config.json").write_text(json.dumps({**config, "vocab_size": 16}))
    error = run_training(make_job(model=str(wrong)), gpu=False)
    assert isinstance(error, StudentError)
    assert "room for 16" in str(error)


def test_weights_with_a_hole_are_refused_instead_of_filled_with_random_numbers(
    make_job: MakeJob, shape: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    holed = tmp_path / "holed"
    shutil.copytree(shape, holed)
    tensors = load_file(holed / "model.safetensors")
    name = sorted(tensors)[3]
    del tensors[name]
    save_file(tensors, holed / "model.safetensors", metadata={"format": "pt"})
    error = run_training(make_job(model=str(holed), init="pretrained"), gpu=False)
    assert isinstance(error, StudentError)
    assert f"lack 1 tensors, {name}" in str(error)
