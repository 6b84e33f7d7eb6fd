"""Starting a training on Ray, watching it, and returning its Checkpoint.

The driver imports no torch: a remote task starts Ray Train. One CPU worker runs Ray Train's local mode inside that
task; more workers, or GPUs, are a TorchTrainer worker group. Both run `loop.train_loop`, and both resume: calling
`train` again goes on from the last saved state, or returns at once what is finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pad_ray.errors import TrainError
from pad_ray.flow.placement import here
from pad_ray.recipe_refine import Preference
from pad_ray.recipe_student import Lora
from pad_ray.recipe_train import Train
from pad_ray.records import Checkpoint
from pad_ray.storage import Storage, from_row
from pad_ray.students import check_student
from pad_ray.train.progress import TrainProgress, last_progress
from pad_ray.train.saved import newest_state
from pad_ray.train.tracking import check_tracking

POLL_S = 0.5
"""Seconds between looks at a running training."""
END_S = 10.0
"""Seconds that a training which is cancelled may take to end; then it ends with Ray."""
START_TRIES = 30
"""How often a group of workers waits for its CPUs or GPUs, a minute each: nodes may only be ordered then."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training: from a model and a mixture of examples to a student."""

    root: str
    """The run folder."""
    round: int
    """The round it belongs to."""
    mixture: str
    """Parquet file of Examples, or of Pairs where preferences are learned; relative to the root."""
    model: str
    """Hugging Face folder to start from: a path, or an s3:// URI."""
    init: str
    """`pretrained`, or `random` for fresh weights of that shape."""
    checkpoint: str
    """Folder of the training state, relative to the root."""
    student: str
    """Folder of the exported student, relative to the root."""
    settings: Train
    """The recipe's training section."""
    epochs: float
    """Passes over the mixture."""
    tokens: int | None
    """Stop after about this many tokens (prompt and completion)."""
    lr: float
    """Peak learning rate."""
    seed: int
    """Seed of the order, and of fresh weights."""
    card: dict[str, Any] = field(default_factory=dict[str, Any])
    """What `pad_ray.json` in the student folder says."""
    parent: str = ""
    """Name of the student it starts from."""
    steps: int | None = None
    """Exactly so many optimizer steps, in as many passes as that takes; None: as epochs, tokens and settings say."""
    lora: Lora | None = None
    """Adapters that are trained instead of all weights."""
    chat: bool = False
    """Whether prompts are wrapped in the tokenizer's chat template."""
    preference: Preference | None = None
    """How preferences are learned; None for a training on Examples."""
    teacher: str = ""
    """Folder of the teacher whose probabilities are learned (settings.distill says how), like `model`; empty: none."""
    attempts: str = ""
    """Parquet file of the student's Attempts that the teacher is asked about too, relative to the root; or empty."""
    task: str = ""
    """The one task of which examples are learned; empty: all that the mixture holds."""
    decomposer: str = ""
    """Folder of the student that asks sub-questions for this one and is exported with it, like `model`; or empty."""


def train(job: TrainJob, on_progress: Callable[[TrainProgress], None] | None = None) -> Checkpoint:
    """Train and export; Ray must be initialised. A finished job is returned without doing anything.

    Raises StudentError for a folder that is not a model, TrainError when there is nothing to train on, the disk has no
    room, there is no GPU to offload from, a tracker is not installed, the loss diverges, or the workers die for good.
    Ctrl-C stops the training; calling again resumes it.
    """
    storage = Storage(job.root)
    if (done := finished(storage, job.checkpoint)) and storage.exists(f"{job.student}/config.json"):
        return done
    check_tracking(job.settings)
    if not storage.remote:  # what lies in a bucket was checked when it was brought there
        check_student(job.model, job.init)
    import ray
    from ray.exceptions import RayError, RayTaskError

    gpu = _use_gpu(job.settings)
    if job.settings.offload != "none" and not gpu:
        raise TrainError(
            f"train.offload = {job.settings.offload}: this training uses no GPU, so everything is in the CPU's memory"
            " already.",
            hint="Leave it out, or train on a cluster with GPUs.",
        )
    # The process ends with the task, and takes the memory of torch and the model with it. If its node is lost, Ray runs
    # it again on another one.
    tries = {"max_calls": 1, "max_retries": job.settings.max_failures}
    start = ray.remote(num_cpus=1, **tries, **here().place("train"))(run_training)
    running = start.remote(job, gpu)
    metrics = storage.path(job.checkpoint) / "metrics.jsonl"
    seen: TrainProgress | None = None
    try:
        while True:
            ready, _ = ray.wait([running], timeout=POLL_S)
            progress = last_progress(metrics)
            if progress and seen and progress.held_out is None:
                progress = replace(progress, held_out=seen.held_out)
            if on_progress and progress and progress != seen:
                on_progress(progress)
                seen = progress
            if ready:
                result = ray.get(running)
                break
    except KeyboardInterrupt:
        ray.cancel(running, force=True)
        ray.wait([running], timeout=END_S)
        raise
    except RayTaskError as error:
        raise _cause(error) from error
    except RayError as error:
        raise TrainError(f"the training process died: {error}", hint="Run again: it resumes.") from error
    if isinstance(result, Exception):
        raise result
    return result


def finished(storage: Storage, checkpoint: str) -> Checkpoint | None:
    """The Checkpoint of a training that is done, or None."""
    name = f"{checkpoint}/summary.json"
    if not storage.exists(name):
        return None
    summary = json.loads(storage.read(name))
    return from_row(Checkpoint, summary) if summary.get("state") == "done" else None


def steps_done(storage: Storage, checkpoint: str) -> int:
    """Optimizer steps that a training starts with: all of them if it is finished, else those of its last state."""
    if done := finished(storage, checkpoint):
        return done.steps
    newest = newest_state(storage, checkpoint)
    return newest[0] if newest else 0


def _use_gpu(settings: Train) -> bool:
    """Whether workers get a GPU each. Raises TrainError if they must and there are too few, which would never end."""
    cluster = here()
    enough = cluster.gpus() >= settings.least_workers
    if settings.use_gpu is True and not enough:
        raise TrainError(
            f"train.use_gpu: the cluster has {'at most ' * cluster.grows}{cluster.gpus()} GPUs for training, but"
            f" train.workers asks for {settings.least_workers}.",
            hint="Lower train.workers, or leave train.use_gpu at auto.",
        )
    return enough if settings.use_gpu == "auto" else settings.use_gpu


def run_training(job: TrainJob, gpu: bool) -> Any:
    """The whole training in this process (one CPU worker) or driven from it (a worker group).

    `train` runs this in a task of its own. Returns what `loop.train_loop` returns: a Checkpoint, or an error of ours.
    """
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")  # a report costs up to one poll
    # OpenMP threads that wait for work would otherwise spin, and halve the speed wherever anything else is running.
    # It reads this when torch is imported.
    passive = {"OMP_WAIT_POLICY": os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")}
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    from pad_ray.train.loop import train_loop

    workers = job.settings.workers
    local = workers == 1 and not gpu
    storage = Storage(job.root)
    # Local mode stores nothing; what it is told must only be a path.
    path, filesystem = (str(storage.path(job.checkpoint)), None) if local else storage.arrow(job.checkpoint)
    trainer = TorchTrainer(
        train_loop,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=0 if local else workers, use_gpu=gpu, resources_per_worker=_each_worker(gpu)
        ),
        torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        run_config=RunConfig(
            name="ray",
            storage_path=path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=job.settings.max_failures, controller_failure_limit=START_TRIES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="ERROR"),
            worker_runtime_env={"env_vars": passive},
        ),
    )
    return trainer.fit().return_value


def _each_worker(gpu: bool) -> dict[str, float]:
    """What a training worker asks of Ray."""
    return {"GPU" if gpu else "CPU": 1, **here().place("train").get("resources", {})}


def _cause(error: Exception) -> Exception:
    """The error of our own inside what Ray wrapped around it, else a TrainError with the last line of the failure."""
    from pad_ray.errors import PadRayError

    cause = getattr(error, "cause", error)
    failures = getattr(cause, "worker_failures", {})
    for failure in [cause, *failures.values()]:
        if isinstance(failure, PadRayError):
            return failure
    return TrainError(f"training failed: {str(cause).strip().splitlines()[-1]}", hint="Run again: it resumes.")
