"""Whoever shows the curves gets the lines of metrics.jsonl, and one value of every step, however often it resumes."""

from __future__ import annotations

import json
import struct
import sys
import uuid
from collections import defaultdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from training_jobs import MakeJob

from pad_ray.errors import TrainError
from pad_ray.recipe_train import Train
from pad_ray.storage import Storage
from pad_ray.train import launch, tracking
from pad_ray.train.launch import TrainJob, run_training
from pad_ray.train.progress import MetricsLog, TrainProgress, read_metrics
from pad_ray.train.tracking import check_tracking, trackers


def line(step: int, loss: float, held_out: float | None = None) -> TrainProgress:
    return TrainProgress(step, 9, loss, 1e-3, 100 * step, 0.5 * step, held_out)


def log(job: TrainJob, lines: list[TrainProgress], resumed: int = 0, killed: bool = False) -> None:
    """As the loop does it: the lines after the resumed step are taken back first."""
    path = Path(job.root) / job.checkpoint / "metrics.jsonl"
    try:
        with MetricsLog(path, resumed, trackers(job, 0.5 * resumed)) as writing:
            for one in lines:
                writing.append(one)
            writing.flush()
            if killed:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert killed


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by tag, in their order, of all event files of a folder."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = defaultdict[str, list[tuple[int, float]]](list)
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            for value in event.summary.value:
                found[value.tag].append((event.step, value.simple_value))
    return found


FIRST = [line(1, 3.0), line(2, 2.5, 2.75), line(3, 2.25)]
AGAIN = [line(3, 2.125), line(4, 2.0, 2.5)]
LOSSES = [(1, 3.0), (2, 2.5), (3, 2.125), (4, 2.0)]
HELD_OUT = [(2, 2.75), (4, 2.5)]


def test_tensorboard_is_told_each_step_once_though_the_training_was_killed_and_resumed(make_job: MakeJob) -> None:
    job = make_job()
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    found = curves(Path(job.root) / job.checkpoint / "tensorboard")
    assert found["loss/training"] == LOSSES
    assert found["loss/held_out"] == HELD_OUT
    assert [value for _, value in found["completion_tokens"]] == [100, 200, 300, 400]
    assert {step for step, _ in found["learning_rate"]} == {1, 2, 3, 4}


def test_real_tensorboard_reads_the_file(make_job: MakeJob) -> None:
    module = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(module, reason="TensorBoard itself is not needed to train")
    job = make_job()
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    events = accumulator.EventAccumulator(str(Path(job.root) / job.checkpoint / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss/training")] == LOSSES


@pytest.mark.usefixtures("one_thread")
def test_a_training_writes_the_curves_of_its_metrics_file(make_job: MakeJob) -> None:
    job = make_job(settings={"validation": 0.3, "validate_every": 1.0})
    assert not isinstance(run_training(job, gpu=False), Exception)
    folder = Path(job.root) / job.checkpoint
    lines = read_metrics(folder / "metrics.jsonl")
    found = curves(folder / "tensorboard")
    measured = [one for one in lines if one.held_out is not None]
    assert len(measured) == 2
    for tag, key, told in (("loss/training", "loss", lines), ("loss/held_out", "held_out", measured)):
        assert [step for step, _ in found[tag]] == [one.step for one in told]
        assert [value for _, value in found[tag]] == pytest.approx([getattr(one, key) for one in told], rel=1e-6)


def fake(name: str, content: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a package of this name installed."""
    module = ModuleType(name)
    module.__dict__.update(content)
    monkeypatch.setitem(sys.modules, name, module)
    find_spec = tracking.find_spec
    monkeypatch.setattr(tracking, "find_spec", lambda asked: True if asked == name else find_spec(asked))


def test_mlflow_goes_on_with_its_run_and_gets_no_step_twice(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    server: dict[str, Any] = {"runs": {}, "ends": []}

    def start_run(run_id: str | None, run_name: str) -> Any:
        run_id = run_id or f"id-{len(server['runs'])}"
        server["runs"].setdefault(run_id, {"name": run_name, "metrics": []})
        return SimpleNamespace(info=SimpleNamespace(run_id=run_id))

    class MlflowClient:
        def get_metric_history(self, run_id: str, key: str) -> list[Any]:
            return [metric for metric in server["runs"][run_id]["metrics"] if metric.key == key]

        def log_batch(self, run_id: str, metrics: list[Any]) -> None:
            server["runs"][run_id]["metrics"] += metrics

    def metric(key: str, value: float, timestamp: int, step: int) -> Any:
        return SimpleNamespace(key=key, value=value, timestamp=timestamp, step=step)

    content = {
        "start_run": start_run,
        "log_params": lambda params: server.update(params=params),
        "end_run": server["ends"].append,
        "MlflowClient": MlflowClient,
        "entities": SimpleNamespace(Metric=metric),
    }
    fake("mlflow", content, monkeypatch)
    job = make_job("my_run", settings={"tracking": ["mlflow"]})
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    [run] = server["runs"].values()
    assert run["name"] == "my_run round 0"
    sent = [(one.step, one.value) for one in run["metrics"] if one.key == "loss/training"]
    assert sent == [(1, 3.0), (2, 2.5), (3, 2.25), (4, 2.0)], "what it has of step 3 stays"
    assert server["ends"] == ["KILLED", "FINISHED"]
    assert server["params"]["seed"] == 1
    assert not (Path(job.root) / job.checkpoint / "tensorboard").exists()


def test_wandb_goes_on_with_its_run_and_gets_no_step_twice(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    server: dict[str, Any] = {"rows": [], "exits": [], "inits": []}

    def init(**asked: Any) -> Any:
        server["inits"].append(asked)
        return SimpleNamespace(
            id=asked["id"] or uuid.uuid4().hex,
            starting_step=max((step for step, _ in server["rows"]), default=-1) + 1,
            log=lambda data, step: server["rows"].append((step, data)),
            finish=lambda exit_code: server["exits"].append(exit_code),
        )

    fake("wandb", {"init": init}, monkeypatch)
    job = make_job(settings={"tracking": ["wandb"]})
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    assert [(step, data["loss/training"]) for step, data in server["rows"]] == [(1, 3.0), (2, 2.5), (3, 2.25), (4, 2.0)]
    assert [step for step, data in server["rows"] if "loss/held_out" in data] == [2, 4]
    first, second = server["inits"]
    known = json.loads(Storage(job.root).read(f"{job.checkpoint}/tracking.json"))
    assert first["id"] is None and second["id"] == known["wandb"]
    assert server["exits"] == [1, 0]


def test_real_mlflow_keeps_one_run(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is optional")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}/mlruns")
    job = make_job(settings={"tracking": ["mlflow"]})
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    [run] = mlflow.MlflowClient().search_runs(["0"])
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss/training")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 2.5), (3, 2.25), (4, 2.0)]
    assert run.info.status == "FINISHED"


def test_real_wandb_takes_the_lines_offline(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is optional")
    monkeypatch.setenv("WANDB_MODE", "offline")
    job = make_job(settings={"tracking": ["wandb"]})
    log(job, FIRST, killed=True)
    log(job, AGAIN, resumed=2)
    known = json.loads(Storage(job.root).read(f"{job.checkpoint}/tracking.json"))
    assert len(list((Path(job.root) / "wandb").glob(f"offline-run-*-{known['wandb']}"))) >= 1


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_tracker_that_was_asked_for_and_is_not_installed_stops_the_training_before_it_starts(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    job = make_job(settings={"tracking": [name]})
    monkeypatch.setattr("ray.remote", None)  # starting anything would fail
    with pytest.raises(TrainError, match=rf"train\.tracking: {name} .*not installed.*pip install"):
        launch.train(job)


def test_tensorboard_by_default_is_simply_absent_where_it_is_not_installed(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    check_tracking(Train())
    job = make_job()
    log(job, FIRST)
    assert not (Path(job.root) / job.checkpoint / "tensorboard").exists()
    assert len(read_metrics(Path(job.root) / job.checkpoint / "metrics.jsonl")) == 3
