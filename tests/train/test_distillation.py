"""Distillation from a teacher whose weights are here: the divergence written out, the steps of plain torch."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_student import make_tiny_student
from torch.nn import functional
from training_jobs import MakeJob, sums

from pad_ray.errors import StudentError
from pad_ray.recipe_distill import Distill
from pad_ray.recipe_train import Train
from pad_ray.records import Attempt, Checkpoint
from pad_ray.storage import Storage
from pad_ray.train.deepspeed_config import deepspeed_config
from pad_ray.train.encode import Encoded, encode
from pad_ray.train.launch import TrainJob, run_training
from pad_ray.train.loop import take_step
from pad_ray.train.progress import read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")
Divergence = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def scores(model: Any, row: Encoded) -> torch.Tensor:
    """Scores [completion, vocabulary] of one row, the plain way, for either kind of student."""
    prompt, written = torch.tensor([row.ids[: row.prompt]]), torch.tensor([row.ids[row.prompt :]])
    if model.config.is_encoder_decoder:
        return model(input_ids=prompt, labels=written).logits[0]
    return model(input_ids=torch.tensor([row.ids])).logits[0, row.prompt - 1 : -1]


def nucleus(mass: float) -> Divergence:
    """The rule of PaD's appendix B, one position after the other."""

    def summed(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(())
        for wanted, given in zip(teacher.softmax(-1), student.softmax(-1), strict=True):
            likely, kept, held = wanted.tolist(), list[int](), 0.0
            while not kept or held < mass:
                kept.append(max(set(range(len(likely))).difference(kept), key=likely.__getitem__))
                held += likely[kept[-1]]
            total = total + (wanted[kept] * (wanted[kept] / given[kept]).log()).sum() / len(kept)
        return total

    return summed


def assert_steps(folder: Path, teacher: Path, settings: Distill, stage: int, divergence: Divergence, ce: float) -> None:
    """Two steps of a ZeRO stage are those of torch on the rows one by one: `ce` times the loss, and the divergence."""
    from pad_ray.decode.loading import has_encoder
    from pad_ray.train.export import gather
    from pad_ray.train.model import CompletionScores, load_model, load_tokenizer, start_engine
    from pad_ray.train.objectives import Distillation

    tokenizer = load_tokenizer(str(folder))
    rows = encode(sums(5), tokenizer, 512, has_encoder(folder)).rows
    student, wise = (load_model(str(one), "pretrained", 0, 0) for one in (folder, teacher))
    plain = copy.deepcopy(student)
    config = deepspeed_config(Train(zero_stage=stage, max_grad_norm=0.5), accumulate=2)  # pyright: ignore
    engine = start_engine(student, config, lr=1e-3, weight_decay=0.1, precision="fp32")
    wiser = CompletionScores(wise).eval()
    objective = Distillation(rows, 0, engine.module.start, wiser, len(tokenizer), settings)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.1)
    for micros in (((0, 1), (2,)), ((3, 4), ())):
        measured, _ = take_step(engine, objective, (micros,), due=False)
        taken = [rows[i] for micro in micros for i in micro]
        tokens = sum(row.completion for row in taken)
        with torch.no_grad():
            wanted = [scores(wise, row) for row in taken]
        given = [scores(plain, row) for row in taken]
        apart = sum(map(divergence, wanted, given)) / tokens
        likely = sum(
            functional.cross_entropy(one, torch.tensor(row.ids[row.prompt :]), reduction="sum")
            for one, row in zip(given, taken, strict=True)
        )
        loss = ce * likely / tokens + settings.weight * apart
        assert measured == pytest.approx({"loss": loss.item(), "divergence": apart.item()}, rel=1e-4)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    trained = gather(engine.module.model, keep=True)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(trained[name], parameter.detach(), rtol=1e-3, atol=2e-5, msg=name)
    engine.destroy()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student that knows three sums by heart."""
    return make_tiny_student(tmp_path_factory.mktemp("teacher"), [(one.prompt, one.completion) for one in sums(3)])


@pytest.mark.parametrize("stage", [0, 3])
def test_the_steps_are_those_of_the_loss_and_the_divergence_over_the_nucleus(
    shape: Path, teacher: Path, stage: int
) -> None:
    settings = Distill(nucleus=0.9, weight=0.5)
    assert_steps(shape, teacher, settings, stage, nucleus(0.9), ce=1.0)


def test_an_encoder_decoder_student_learns_from_a_teacher_of_its_kind(encoder_decoder: Path, tmp_path: Path) -> None:
    from tiny_student import make_tiny_encoder_decoder

    assert_steps(encoder_decoder, make_tiny_encoder_decoder(tmp_path, tied=False), Distill(), 0, nucleus(0.99), ce=1.0)


def jsd(beta: float) -> Divergence:
    """The generalized Jensen-Shannon divergence, written as its definition is."""

    def summed(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        p, q = teacher.softmax(-1), student.softmax(-1)
        if beta in (0, 1):
            near, far = (p, q) if beta == 0 else (q, p)
            return (near * (near / far).log()).sum()
        mixture = beta * p + (1 - beta) * q
        return (beta * p * (p / mixture).log() + (1 - beta) * q * (q / mixture).log()).sum()

    return summed


@pytest.mark.parametrize(("stage", "beta"), [(0, 0.0), (2, 0.1), (3, 0.5), (0, 1.0)])
def test_gkd_takes_the_steps_of_the_generalized_jensen_shannon_divergence_and_of_nothing_else(
    shape: Path, teacher: Path, stage: int, beta: float
) -> None:
    settings = Distill(kind="gkd", teacher="somewhere", beta=beta)
    assert_steps(shape, teacher, settings, stage, jsd(beta), ce=0.0)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_divergence_of_gkd_is_that_of_trl(beta: float) -> None:
    theirs = pytest.importorskip("trl.experimental.gkd").GKDTrainer.generalized_jsd_loss
    from pad_ray.train.objectives import generalized_jsd

    torch.manual_seed(0)
    teacher, student = torch.randn(2, 7, 50)
    ours = generalized_jsd(teacher.log_softmax(-1), student.log_softmax(-1), beta).sum()
    torch.testing.assert_close(ours, theirs(student[None], teacher[None], beta=beta, reduction="sum"))


def test_the_students_own_replies_are_learned_from_besides_the_examples(make_job: MakeJob, teacher: Path) -> None:
    job = distilling(make_job, teacher, kind="gkd", teacher="somewhere", on_policy=0.4)
    attempts = [Attempt(f"{n}", f"{n}", f"Q: {n}\n", f"what? {n}") for n in range(8)]
    Storage(job.root).write_rows("attempts.parquet", Attempt, attempts)
    checkpoint = run_training(replace(job, attempts="attempts.parquet"), gpu=False)
    assert isinstance(checkpoint, Checkpoint), checkpoint
    written = [one.completion for one in [*sums(12), *attempts]]
    assert checkpoint.tokens == 8 * sum(len(text) + 1 for text in written)
    lines = read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")
    assert lines[0].loss == lines[0].divergence
    assert lines[-1].loss < 0.9 * lines[0].loss


def test_the_nucleus_holds_the_top_token_and_no_more_than_it_must() -> None:
    from pad_ray.train.objectives import nucleus_divergence

    teacher = torch.tensor([[0.995, 0.005, 0.0], [0.5, 0.3, 0.2], [0.9, 0.05, 0.05]]).log()
    student = torch.tensor([[0.2, 0.4, 0.4], [0.2, 0.5, 0.3], [0.9, 0.05, 0.05]]).log()
    top = 0.995 * torch.tensor(0.995 / 0.2).log()
    two = (0.5 * torch.tensor(0.5 / 0.2).log() + 0.3 * torch.tensor(0.3 / 0.5).log()) / 2
    torch.testing.assert_close(nucleus_divergence(teacher, student, 0.8)[:2], torch.stack([top, two]))
    whole = (teacher.exp() * (teacher - student)).nan_to_num().sum(-1)
    torch.testing.assert_close(nucleus_divergence(teacher, student, 1.0)[1:], whole[1:] / 3)


def distilling(make_job: MakeJob, folder: Path, run: str = "run", **settings: Any) -> TrainJob:
    return make_job(run, teacher=str(folder), examples=sums(12), settings={"distill": Distill(**settings)}, epochs=8)


def test_a_training_draws_the_student_to_its_teacher_and_measures_how_near_it_is(
    make_job: MakeJob, teacher: Path
) -> None:
    job = distilling(make_job, teacher, teacher="somewhere")
    checkpoint = run_training(job, gpu=False)
    assert isinstance(checkpoint, Checkpoint), checkpoint
    lines = read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")
    assert lines[0].divergence is not None and lines[-1].divergence is not None
    assert 0 < lines[-1].divergence < 0.7 * lines[0].divergence
    assert lines[-1].loss > lines[-1].divergence
    assert (Path(job.root) / job.student / "pad_ray.json").exists()


def test_a_teacher_of_other_tokens_or_of_another_kind_is_refused(
    make_job: MakeJob, teacher: Path, encoder_decoder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    tokens = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokens["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokens))
    error = run_training(distilling(make_job, other, "other", teacher="wise/owl"), gpu=False)
    assert isinstance(error, StudentError)
    assert "train.distill.teacher: the tokenizer of wise/owl" in str(error)
    assert "of other tokens" in str(error)
    error = run_training(distilling(make_job, encoder_decoder, "kind", teacher="wise/owl"), gpu=False)
    assert isinstance(error, StudentError)
    assert "wise/owl is an encoder-decoder model and the student is a causal model" in str(error)
