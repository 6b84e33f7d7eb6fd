"""The curves of a training where people look at curves: TensorBoard, MLflow, Weights & Biases.

They are told the lines of metrics.jsonl, by the first worker, and a training that resumes never shows two values for
one step: TensorBoard's file is written anew from the lines that hold, a server gets only steps that it does not have.
Where a server is, which project and which key are its own environment variables (MLFLOW_TRACKING_URI, WANDB_API_KEY…).
"""

from __future__ import annotations

import json
import shutil
import socket
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pad_ray.errors import TrainError
from pad_ray.recipe_train import Train
from pad_ray.storage import Storage
from pad_ray.train.progress import Tracker, TrainProgress

if TYPE_CHECKING:
    from pad_ray.train.launch import TrainJob

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""What must be installed: tensorboardX writes TensorBoard's files, TensorBoard itself only reads them."""
BATCH = 200
"""Lines that go to MLflow at once; it takes at most 1,000 values."""


def check_tracking(settings: Train) -> None:
    """Raises TrainError for a tracker that the recipe asks for and that is not installed."""
    asked = settings.tracking if "tracking" in settings.model_fields_set else []
    for name in asked:
        if find_spec(PACKAGES[name]) is None:
            raise TrainError(
                f"train.tracking: {name} is asked for, and the package {PACKAGES[name]} is not installed.",
                hint=f"Install it (pip install {PACKAGES[name]}), or take {name} out of the list; the run resumes.",
            )


def trackers(job: TrainJob, seconds: float) -> list[Tracker]:
    """Those that the recipe names and that are installed, for a training that resumes after so many seconds."""
    storage = Storage(job.root)
    found: list[Tracker] = []
    for name in job.settings.tracking:
        if find_spec(PACKAGES[name]) is None:
            continue  # nobody asked for it: `check_tracking`
        if name == "tensorboard":
            found.append(TensorBoard(storage, f"{job.checkpoint}/tensorboard", seconds))
        else:
            found.append({"mlflow": MLflow, "wandb": Wandb}[name](storage, job))
    return found


def scalars(progress: TrainProgress) -> dict[str, float]:
    """What is shown of a line, by the name it has everywhere."""
    found = {"loss/training": progress.loss, "learning_rate": progress.lr, "completion_tokens": float(progress.tokens)}
    if progress.held_out is not None:
        found["loss/held_out"] = progress.held_out
    return {**found, **progress.figures}


class TensorBoard:
    """An event file beside the training states, for `tensorboard --logdir RUN`."""

    def __init__(self, storage: Storage, folder: str, seconds: float) -> None:
        from tensorboardX import RecordWriter

        # Protocol buffers are made when they are imported, so no type checker knows them.
        self._events: Any = import_module("tensorboardX.proto.event_pb2")
        self._summaries: Any = import_module("tensorboardX.proto.summary_pb2")
        self._storage, self._folder = storage, folder
        path = storage.path(folder)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        now = time.time()
        # Pauses between two calls are no part of the curve.
        self._origin = now - seconds
        # Written without SummaryWriter, whose thread and queue would lose lines when the process is killed.
        self._file = RecordWriter(str(path / f"events.out.tfevents.{now:.0f}.{socket.gethostname()}"))
        self._write(now, file_version="brain.Event:2")
        # A TensorBoard that is looking drops what it knew.
        self._write(now, step=1, session_log=self._events.SessionLog(status=self._events.SessionLog.START))

    def add(self, progress: TrainProgress) -> None:
        summary = self._summaries.Summary()
        for name, value in scalars(progress).items():
            summary.value.add(tag=name, simple_value=value)
        self._write(self._origin + progress.seconds, step=progress.step, summary=summary)

    def flush(self) -> None:
        self._file.flush()

    def close(self, done: bool) -> None:
        self._file.close()
        if done:
            self._storage.publish(self._folder)

    def _write(self, wall_time: float, **fields: Any) -> None:
        self._file.write(self._events.Event(wall_time=wall_time, **fields).SerializeToString())


class MLflow:
    """A run on an MLflow server, or in its local store."""

    def __init__(self, storage: Storage, job: TrainJob) -> None:
        self._mlflow: Any = import_module("mlflow")
        known = _known_run(storage, job)
        run = self._mlflow.start_run(run_id=known.get("mlflow"), run_name=_name(job))
        self._client, self._run_id = self._mlflow.MlflowClient(), run.info.run_id
        if "mlflow" not in known:
            _remember_run(storage, job, "mlflow", self._run_id)
            self._mlflow.log_params(_settings(job))
        sent = self._client.get_metric_history(self._run_id, "loss/training")
        self._sent = max((metric.step for metric in sent), default=0)
        self._waiting: list[TrainProgress] = []

    def add(self, progress: TrainProgress) -> None:
        if progress.step > self._sent:
            self._waiting.append(progress)

    def flush(self) -> None:
        while self._waiting:
            batch = self._waiting[:BATCH]
            now = int(1000 * time.time())
            metrics = [
                self._mlflow.entities.Metric(name, value, now, line.step)
                for line in batch
                for name, value in scalars(line).items()
            ]
            self._client.log_batch(self._run_id, metrics=metrics)
            self._sent = batch[-1].step
            del self._waiting[:BATCH]

    def close(self, done: bool) -> None:
        if done:
            self.flush()
        self._mlflow.end_run("FINISHED" if done else "KILLED")


class Wandb:
    """A run at Weights & Biases; with WANDB_MODE=offline a folder that is uploaded later."""

    def __init__(self, storage: Storage, job: TrainJob) -> None:
        wandb: Any = import_module("wandb")
        known = _known_run(storage, job)
        self._run = wandb.init(
            id=known.get("wandb"), resume="allow", name=_name(job), config=_settings(job), dir=storage.path("")
        )
        if "wandb" not in known:
            _remember_run(storage, job, "wandb", self._run.id)
        self._next = self._run.starting_step

    def add(self, progress: TrainProgress) -> None:
        if progress.step >= self._next:
            self._run.log(scalars(progress), step=progress.step)

    def flush(self) -> None:
        pass  # it has a process of its own for that

    def close(self, done: bool) -> None:
        self._run.finish(exit_code=0 if done else 1)


def _name(job: TrainJob) -> str:
    """The name of the run folder, and the round."""
    return f"{Path(job.root.partition('?')[0]).name} round {job.round}"


def _settings(job: TrainJob) -> dict[str, Any]:
    facts = {"parent": job.parent, "epochs": job.epochs, "lr": job.lr, "seed": job.seed}
    return {**job.settings.model_dump(mode="json"), **facts}


def _known_run(storage: Storage, job: TrainJob) -> dict[str, str]:
    """The ids that servers gave this training when it began, by tracker."""
    return json.loads(storage.get(f"{job.checkpoint}/tracking.json") or b"{}")


def _remember_run(storage: Storage, job: TrainJob, tracker: str, id_: str) -> None:
    ids = {**_known_run(storage, job), tracker: id_}
    storage.write(f"{job.checkpoint}/tracking.json", json.dumps(ids).encode())
