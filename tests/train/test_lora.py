"""LoRA: only adapters are trained and saved, and what is exported is a plain student that has learned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_disk import taken
from test_training_run import run, steps, stop_after, weights
from training_jobs import MakeJob, sums

from pad_ray.errors import StudentError, TrainError
from pad_ray.recipe_student import Lora, Student
from pad_ray.train.checkpoint import KEEP
from pad_ray.train.disk import Sizes, bytes_needed
from pad_ray.train.launch import TrainJob, run_training

pytestmark = pytest.mark.usefixtures("one_thread")

LORA = Lora(rank=4, alpha=16)


def summary(job: TrainJob) -> dict[str, Any]:
    return json.loads((Path(job.root) / job.checkpoint / "summary.json").read_text())


def scores(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**tokenizer(sums(1)[0].prompt, return_tensors="pt", return_token_type_ids=False)).logits


@pytest.mark.parametrize(
    ("stage", "precision", "recompute"),
    [
        (0, "fp32", False),
        (1, "auto", True),
        (2, "fp32", True),
        (3, "fp32", True),
        (0, "bf16", False),
        pytest.param(2, "bf16", False, marks=pytest.mark.slow),
        pytest.param(3, "bf16", True, marks=pytest.mark.slow),
    ],
)
def test_adapters_learn_with_every_stage_and_arithmetic(
    make_job: MakeJob, shape: Path, stage: int, precision: str, recompute: bool
) -> None:
    settings = {"zero_stage": stage, "precision": precision, "gradient_checkpointing": recompute}
    job = make_job(init="pretrained", epochs=3, lr=2e-2, settings=settings, lora=LORA)
    assert run(job).loss < 0.95 * steps(job)[0].loss
    before = weights(replace(job, root=str(shape), student="."))
    assert weights(job).keys() == before.keys(), "the folder is a plain one"
    changed = {name for name, weight in weights(job).items() if not torch.equal(weight, before[name].to(weight.dtype))}
    assert changed == {name for name in before if "proj" in name}
    facts = summary(job)
    assert facts["parameters"] == sum(weight.numel() for weight in before.values())
    assert facts["trained_parameters"] == sum(4 * sum(before[name].shape) for name in changed)


def test_an_encoder_decoder_student_learns_with_adapters(make_job: MakeJob, encoder_decoder: Path) -> None:
    job = make_job(model=str(encoder_decoder), init="pretrained", epochs=6, lr=5e-2, lora=LORA)
    assert run(job).loss < 0.95 * steps(job)[0].loss


def test_the_adapter_on_the_base_model_is_the_exported_student(make_job: MakeJob, shape: Path, tokenizer: Any) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    job = make_job(init="pretrained", lr=3e-2, lora=LORA)
    run(job)
    folder = Path(job.root) / job.student
    base = AutoModelForCausalLM.from_pretrained(shape)
    plain = scores(base, tokenizer)
    student = scores(AutoModelForCausalLM.from_pretrained(folder), tokenizer)
    adapted = scores(PeftModel.from_pretrained(base, folder / "adapter"), tokenizer)
    torch.testing.assert_close(adapted, student, rtol=1e-4, atol=1e-4)
    assert (student - plain).abs().max() > 0.1


def test_an_export_whose_adapters_were_not_added_gets_no_name(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pad_ray.train import export

    def spoiled(model: Any, keep: bool) -> dict[str, torch.Tensor]:
        return {name: weight * (0.9 if "lora_B" in name else 1) for name, weight in gather(model, keep).items()}

    gather = export.gather
    monkeypatch.setattr(export, "gather", spoiled)
    job = make_job(init="pretrained", lr=3e-2, lora=LORA)
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    assert "is not the trained one" in str(error)
    assert not (Path(job.root) / job.student).exists()


@pytest.mark.parametrize("stage", [0, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (2, 3))])
def test_a_stopped_training_goes_on_to_the_same_end(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    lora = LORA.model_copy(update={"dropout": 0.1})
    made = {"init": "pretrained", "lora": lora, "lr": 3e-2}
    whole = make_job("whole", settings={"zero_stage": stage}, **made)
    expected = run(whole)
    job = make_job("stopped", settings={"zero_stage": stage, "checkpoint_s": 1e-9}, **made)
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(KeyboardInterrupt):
            run(job)
    assert run(job).steps == expected.steps
    assert [line.loss for line in steps(job)] == pytest.approx([line.loss for line in steps(whole)], rel=1e-3)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(job)[name], weight, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (1, "bf16"), (2, "fp32"), (3, "fp32")])
def test_a_state_holds_what_is_trained_and_the_estimate_knows(make_job: MakeJob, stage: int, precision: str) -> None:
    settings = {"zero_stage": stage, "precision": precision, "checkpoint_s": 1e-9, "max_steps": 3}
    job = make_job(init="pretrained", settings=settings, lora=LORA.model_copy(update={"rank": 64}))
    run(job)
    facts = summary(job)
    sizes = Sizes(facts["parameters"], facts["trained_parameters"])
    states, _ = bytes_needed(sizes, job.settings, best=False).values()
    saved = taken(Path(job.root) / job.checkpoint / "state")
    assert saved / KEEP == pytest.approx(states / (KEEP + 1), rel=0.2)


def test_the_best_student_of_the_held_out_questions_is_kept(make_job: MakeJob) -> None:
    job = make_job(
        init="pretrained", lr=3e-2, lora=LORA, settings={"validation": 0.3, "patience": 50, "checkpoint_s": 1e-9}
    )
    run(job)
    assert summary(job)["validation"]["best_step"] > 0
    assert (Path(job.root) / job.student / "adapter").is_dir()


def test_a_next_round_puts_new_adapters_on_what_the_last_one_learned(make_job: MakeJob) -> None:
    first = make_job(init="pretrained", epochs=3, lr=3e-2, lora=LORA)
    run(first)
    model = str(Path(first.root) / first.student)
    second = replace(first, model=model, checkpoint="round-1/checkpoint", student="round-1/student")
    run(second)
    assert steps(second)[0].loss < 0.95 * steps(first)[0].loss


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["nothing"], "fits no layer"),
        (["q_proj", "nonsense"], "'nonsense' fits no layer"),
        (["lm_head", "q_proj"], "share their weights"),
        (["embed_tokens"], "no linear layer"),
    ],
)
def test_targets_that_cannot_be_are_told_with_the_key(make_job: MakeJob, targets: list[str], said: str) -> None:
    error = run_training(make_job(init="pretrained", lora=Lora(targets=targets)), gpu=False)
    assert isinstance(error, StudentError)
    assert "student.lora.targets" in str(error) and said in str(error)


def test_the_recipe_takes_yes_no_or_a_section(make_job: MakeJob) -> None:
    asked: list[Any] = [True, False, None, {"rank": 8}]
    read = [Student.model_validate({"model": "somewhere", "lora": one}).lora for one in asked]
    assert read == [Lora(), None, None, Lora(rank=8)]
    with pytest.raises(ValueError, match="adapters change a model that knows something"):
        Student.model_validate({"model": "somewhere", "init": "random", "lora": True})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("stage", [1, 3])
def test_two_workers_train_what_one_trains(make_job: MakeJob, stage: int) -> None:
    made = {"init": "pretrained", "lora": LORA, "lr": 3e-2}
    alone = make_job("alone", **made)
    run(alone)
    job = make_job("together", settings={"workers": 2, "zero_stage": stage, "checkpoint_s": 1}, **made)
    run(job)
    assert [line.loss for line in steps(job)] == pytest.approx([line.loss for line in steps(alone)], rel=2e-2)
