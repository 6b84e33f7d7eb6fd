"""With patience a training leaves the student of the lowest held-out loss, wherever it was stopped on the way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from training_jobs import MakeJob, by_heart, plain_loss, sums

from pad_ray.errors import TrainError
from pad_ray.records import Checkpoint
from pad_ray.storage import Storage
from pad_ray.train.checkpoint import KEEP, State, States
from pad_ray.train.held_out import HeldOut, is_held_out
from pad_ray.train.launch import TrainJob, run_training
from pad_ray.train.progress import MetricsLog, TrainProgress, read_metrics

pytestmark = pytest.mark.usefixtures("one_thread")

WATCHED = {"validation": 0.3, "validate_every": 0.5, "patience": 2}
CURVE = (4.0, 3.0, 3.5, 2.0, 2.5, 1.0)
"""Held-out losses, measurement by measurement; after the last one it only rises: the sixth is the best."""


def run(job: TrainJob) -> Checkpoint:
    result = run_training(job, gpu=False)
    assert isinstance(result, Checkpoint), result
    return result


def summary(job: TrainJob) -> dict[str, Any]:
    return json.loads((Path(job.root) / job.checkpoint / "summary.json").read_text())


def steps(job: TrainJob) -> list[TrainProgress]:
    return read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")


def weights(job: TrainJob) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(Path(job.root) / job.student / "model.safetensors")


@pytest.fixture
def curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of CURVE, whatever the student does."""

    def loss(held_out: HeldOut, engine: Any) -> float:
        number = sorted(held_out.due).index(engine.global_steps)
        return CURVE[number] if number < len(CURVE) else 2.0 + number

    monkeypatch.setattr(HeldOut, "loss", loss)


def test_a_student_that_learns_by_heart_is_stopped_and_the_best_one_exported(make_job: MakeJob) -> None:
    examples = by_heart(16)
    job = make_job(examples=examples, epochs=60, settings={**WATCHED, "validate_every": 2.0})
    checkpoint = run(job)
    lines, found = steps(job), summary(job)["validation"]
    measured = {line.step: line.held_out for line in lines if line.held_out is not None}
    assert found["best_loss"] == min(measured.values()) == measured[found["best_step"]]
    assert found["best_step"] == found["exported_step"] < checkpoint.steps == lines[-1].step < lines[-1].steps
    assert found["stopped_early"]
    assert list(measured)[-3] == found["best_step"], "two measurements later it was stopped"
    held = [example for example in examples if is_held_out(example.problem_id, 0.3)]
    assert (found["questions"], found["examples"], summary(job)["examples"]) == (len(held), len(held), 16 - len(held))
    exported = plain_loss(Path(job.root) / job.student, held)
    assert exported == pytest.approx(found["best_loss"], rel=1e-4)
    assert lines[-1].loss < 0.9 * lines[0].loss, "on what it trains on it went on getting better"


def test_without_patience_the_loss_is_only_measured(make_job: MakeJob, curve: None) -> None:
    plain = make_job("plain", settings={"validation": 0.3, "validate_every": 99})
    watched = make_job("watched", settings={"validation": 0.3, "validate_every": 0.01})
    run(plain)
    run(watched)
    assert [line.loss for line in steps(plain)] == [line.loss for line in steps(watched)]
    for name, weight in weights(plain).items():
        assert torch.equal(weights(watched)[name], weight), "looking changes nothing"
    assert [line.held_out for line in steps(plain)[:-1]] == [None] * (len(steps(plain)) - 1)
    assert steps(plain)[-1].held_out == CURVE[0]
    found = summary(watched)["validation"]
    assert found["exported_step"] == len(steps(watched)) > found["best_step"]
    assert not found["stopped_early"]


def test_a_round_without_a_held_out_question_trains_to_its_end(make_job: MakeJob) -> None:
    examples = [example for example in sums(20) if not is_held_out(example.problem_id, 0.3)]
    job = make_job(examples=examples, settings=WATCHED)
    assert run(job).steps == steps(job)[-1].steps
    assert "validation" not in summary(job)


@pytest.mark.parametrize("stage", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_training_stopped_at_any_measurement_ends_with_the_same_best_student(
    make_job: MakeJob, curve: None, monkeypatch: pytest.MonkeyPatch, stage: int
) -> None:
    settings = {**WATCHED, "zero_stage": stage}
    whole = make_job("whole", epochs=8, settings=settings)
    run(whole)
    expected = summary(whole)["validation"]
    due = [line.step for line in steps(whole) if line.held_out is not None]
    assert (expected["best_step"], expected["stopped_early"], len(due)) == (due[5], True, 8)

    job = make_job("stopped", epochs=8, settings=settings)
    stops = iter([due[1], due[1] + 1, due[4], due[5], due[5] + 1, due[7]])
    stop = next(stops)
    append = MetricsLog.append

    def appending(log: MetricsLog, progress: TrainProgress) -> None:
        append(log, progress)
        if progress.step == stop:
            log.flush()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MetricsLog, "append", appending)
        while stop:
            with pytest.raises(KeyboardInterrupt):
                run(job)
            stop = next(stops, 0)
    run(job)
    assert summary(job)["validation"] == expected
    assert [(line.step, line.held_out) for line in steps(job)] == [(line.step, line.held_out) for line in steps(whole)]
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(job)[name], weight, rtol=1e-3, atol=1e-5, msg=name)


def test_of_states_a_few_stay_and_of_students_the_best(
    make_job: MakeJob, curve: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=8, settings={**WATCHED, "checkpoint_s": 1e-9})
    folder = Path(job.root) / job.checkpoint
    seen: list[tuple[int, list[str]]] = []
    save = States.save

    def saving(states: States, engine: Any, state: State) -> None:
        save(states, engine, state)
        states.settle()
        best = [path.name for path in (folder / "best").iterdir()] if (folder / "best").exists() else []
        assert best == ([f"step-{state.best_step:08d}"] if state.best_step else [])
        seen.append((len(list((folder / "state").iterdir())), best))

    monkeypatch.setattr(States, "save", saving)
    run(job)
    assert max(states for states, _ in seen) == KEEP
    assert len({best[0] for _, best in seen if best}) == 4, "each better one took the place of the one before"
    assert not (folder / "best").exists(), "it is the student of the round now"
    assert len(list((folder / "state").iterdir())) == KEEP


def test_a_best_student_that_is_gone_is_told_and_not_replaced_by_another(
    make_job: MakeJob, curve: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(epochs=8, settings=WATCHED)
    with monkeypatch.context() as patch:
        patch.setattr(States, "take_best", lambda *_: 1 / 0)
        with pytest.raises(Exception, match="division"):
            run(job)
    shutil.rmtree(Path(job.root) / job.checkpoint / "best")
    error = run_training(job, gpu=False)
    assert isinstance(error, TrainError)
    assert "the best student so far" in str(error) and "Delete" in str(error)
    Storage(job.root).delete(f"{job.checkpoint}/state")
    run(job)
