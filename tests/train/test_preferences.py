"""Learning preferences: the loss and its gradient are those of DPO written out, and the right programs gain."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from training_jobs import MakeJob, sums

from pad_ray.recipe_refine import Preference
from pad_ray.recipe_train import Train
from pad_ray.records import Checkpoint, Pair
from pad_ray.storage import Storage
from pad_ray.train.deepspeed_config import deepspeed_config
from pad_ray.train.encode import Encoded, Encoding, encode_pairs
from pad_ray.train.launch import TrainJob, run_training, train
from pad_ray.train.loop import plan_training, take_step
from pad_ray.train.progress import MetricsLog, TrainProgress, read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")
BETA = 0.3


def wrong_sums(count: int) -> list[Pair]:
    """Sums, and the same programs with a minus; both sides differ in length."""
    return [
        Pair(
            f"{one.example_id}!pair",
            "program",
            one.prompt,
            one.completion,
            one.completion.replace("+", "-").replace("return ", "result = 0\n    return "),
            one.problem_id,
            1,
        )
        for one in sums(count)
    ]


def likelihood(model: Any, row: Encoded) -> torch.Tensor:
    """Log-likelihood of the completion of one row, the plain way, for either kind of student."""
    prompt, written = torch.tensor([row.ids[: row.prompt]]), torch.tensor([row.ids[row.prompt :]])
    if model.config.is_encoder_decoder:
        return -model(input_ids=prompt, labels=written).loss * row.completion
    scores = model(input_ids=torch.tensor([row.ids])).logits[0, row.prompt - 1 : -1]
    return functional.log_softmax(scores, -1).gather(1, written[0][:, None]).sum()


def plain_loss(model: Any, start: Any, rows: list[Encoded], alpha: float) -> torch.Tensor:
    """The mean loss of pairs, equation 7 of DPO and equation 3 of iterative reasoning preference optimization."""
    total = torch.zeros(())
    for right, wrong in zip(rows[0::2], rows[1::2], strict=True):
        gain, loss = (likelihood(model, row) - likelihood(start, row).detach() for row in (right, wrong))
        total = total - torch.log(torch.sigmoid(BETA * (gain - loss)))
        total = total - alpha * likelihood(model, right) / right.completion
    return 2 * total / len(rows)


@pytest.fixture(params=["causal", "encoder_decoder"])
def student(request: pytest.FixtureRequest) -> tuple[str, Encoding]:
    """Folder of a tiny student, and pairs in its tokens."""
    from pad_ray.train.model import load_tokenizer

    apart = request.param == "encoder_decoder"
    folder = str(request.getfixturevalue("encoder_decoder" if apart else "shape"))
    return folder, encode_pairs(wrong_sums(6), load_tokenizer(folder), 512, apart)


@pytest.mark.parametrize(("stage", "alpha"), [(0, 0.0), (1, 1.0), (2, 0.5), (3, 1.0)])
def test_every_zero_stage_takes_the_steps_of_dpo_written_out(
    student: tuple[str, Encoding], stage: int, alpha: float, make_job: MakeJob
) -> None:
    from pad_ray.train.export import gather
    from pad_ray.train.model import load_model, start_engine
    from pad_ray.train.preferences import begin_preferences

    folder, encoding = student
    start = load_model(folder, "pretrained", 0, 0)
    plain = copy.deepcopy(start)
    settings = Train(zero_stage=stage, max_grad_norm=0.5)  # pyright: ignore[reportArgumentType]
    config = deepspeed_config(settings, accumulate=2)
    engine = start_engine(copy.deepcopy(start), config, lr=1e-3, weight_decay=0.1, precision="fp32")
    job, preference = make_job(), Preference(beta=BETA, alpha=alpha)
    objective = begin_preferences(job, preference, engine, encoding, 0, Storage(job.root), "mark")
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=0.1)
    for micros in (((0, 1), (2,)), ((3, 4, 5), ()), ((1,), (5, 2))):
        measured, _ = take_step(engine, objective, (micros,), due=False)
        pairs = [pair for micro in micros for pair in micro]
        loss = plain_loss(
            plain, start, [encoding.rows[row] for pair in pairs for row in (2 * pair, 2 * pair + 1)], alpha
        )
        assert measured["loss"] == pytest.approx(loss.item(), rel=1e-4, abs=1e-6)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
    trained = gather(engine.module.model, keep=True)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(trained[name], parameter.detach(), rtol=1e-3, atol=2e-5, msg=name)
    engine.destroy()


def test_a_pair_is_never_parted_and_one_that_is_too_long_is_dropped_whole(tokenizer: Any, make_job: MakeJob) -> None:
    pairs = wrong_sums(12)
    encoding = encode_pairs([*pairs, replace(pairs[0], rejected="x" * 600)], tokenizer, 512)
    assert (len(encoding.rows), encoding.dropped) == (24, 1)
    course = plan_training(make_job(settings={"micro_tokens": 16}), encoding, workers=2)
    micros = [micro for step in course.steps for batches in step for micro in batches if micro]
    assert sorted(pair for micro in micros for pair in micro) == sorted([*range(12)] * 2)


def test_dropout_is_switched_off_for_either_kind_of_student(tmp_path: Path) -> None:
    from tiny_student import make_tiny_encoder_decoder

    from pad_ray.train.model import load_model
    from pad_ray.train.preferences import without_dropout

    model = load_model(str(make_tiny_encoder_decoder(tmp_path, dropout=0.5)), "pretrained", 0, 0).train()
    ids = torch.tensor([[5, 6, 7]])

    def scores() -> torch.Tensor:
        return model(input_ids=ids, decoder_input_ids=ids).logits

    assert not torch.equal(scores(), scores())
    without_dropout(model)
    assert torch.equal(scores(), scores())


def preferring(make_job: MakeJob, run: str = "run", **changes: Any) -> TrainJob:
    job = make_job(run, init="pretrained", lr=1e-3, **{"epochs": 6, **changes}, preference=Preference(beta=BETA))
    Storage(job.root).write_rows(job.mixture, Pair, wrong_sums(16))
    return job


def steps(job: TrainJob) -> list[TrainProgress]:
    return read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")


def weights(job: TrainJob) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(job.root) / job.student / "model.safetensors")


def test_margins_rise_and_a_stopped_training_ends_with_the_same_numbers(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = preferring(make_job, "whole")
    checkpoint = run_training(whole, gpu=False)
    assert isinstance(checkpoint, Checkpoint), checkpoint
    lines = steps(whole)
    assert lines[0].margin == pytest.approx(0, abs=1e-4), "the first step starts at the reference"
    assert lines[-1].margin is not None and lines[-1].margin > 0.2
    assert lines[-1].accuracy == 1
    assert lines[-1].loss < lines[0].loss
    summary = json.loads((Path(whole.root) / whole.checkpoint / "summary.json").read_text())
    assert summary["pairs"] == 16
    assert (Path(whole.root) / whole.student / "pad_ray.json").exists()

    stopped = preferring(make_job, "stopped", settings={"checkpoint_s": 1e-9})
    append = MetricsLog.append

    def stopping(log: MetricsLog, progress: TrainProgress) -> None:
        append(log, progress)
        if progress.step == 5:
            log.flush()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "append", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_training(stopped, gpu=False)
    from pad_ray.train import preferences

    no_call: Callable[..., Any] = lambda *_: pytest.fail("the reference was there")  # noqa: E731
    monkeypatch.setattr(preferences, "likelihoods", no_call)
    assert not isinstance(run_training(stopped, gpu=False), Exception)
    for measure in ("loss", "margin", "accuracy"):
        assert [getattr(line, measure) for line in steps(stopped)] == pytest.approx(
            [getattr(line, measure) for line in lines], rel=1e-3, abs=1e-4
        )
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(stopped)[name], weight, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session")
def test_two_workers_learn_what_one_learns(make_job: MakeJob) -> None:
    alone = preferring(make_job, "alone", epochs=2)
    assert not isinstance(run_training(alone, gpu=False), Exception)
    together = preferring(make_job, "together", epochs=2, settings={"workers": 2, "zero_stage": 3})
    assert train(together).steps == len(steps(alone))
    for measure in ("loss", "margin", "accuracy", "tokens"):
        assert [getattr(line, measure) for line in steps(together)] == pytest.approx(
            [getattr(line, measure) for line in steps(alone)], rel=1e-2, abs=1e-3
        )
    references = [next((Path(job.root) / job.checkpoint).glob("reference-*.npy")) for job in (alone, together)]
    np.testing.assert_allclose(*map(np.load, references), rtol=1e-5)


@pytest.mark.slow
def test_the_loss_is_that_of_trl(shape: Path, tokenizer: Any, make_job: MakeJob, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from pad_ray.train.model import CompletionScores, load_model
    from pad_ray.train.objectives import Preferences

    start, model = (load_model(str(shape), init, 3, len(tokenizer)) for init in ("pretrained", "random"))
    pairs = wrong_sums(4)
    rows = encode_pairs(pairs, tokenizer, 512).rows
    with torch.no_grad():
        reference = torch.stack([likelihood(start, row) for row in rows]).double()
        ours = Preferences(rows, 0, None, reference, BETA, 0.0).sums(CompletionScores(model), (0, 1, 2, 3), "cpu")
    columns = {name: [getattr(pair, name) for pair in pairs] for name in ("prompt", "chosen", "rejected")}
    trainer = DPOTrainer(
        model=model,
        ref_model=start,
        args=DPOConfig(str(tmp_path), beta=BETA, per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False),
        train_dataset=Dataset.from_dict(columns),
        processing_class=tokenizer,
    )
    with torch.no_grad():
        theirs = trainer.compute_loss(model, next(iter(trainer.get_train_dataloader())))
    assert ours[0].item() / 4 == pytest.approx(theirs.item(), rel=1e-4)
