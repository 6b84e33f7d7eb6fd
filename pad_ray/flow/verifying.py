"""`pad-ray verifier`: programs of a student for training problems, judged, and a head that learns from them.

All of it is one Ray task, so that the driver never loads torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pad_ray.errors import StudentError
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.placement import here
from pad_ray.flow.progress import Reporter
from pad_ray.problems import take_in
from pad_ray.recipe import SandboxSettings
from pad_ray.records import Problem
from pad_ray.storage import Storage, local_copy
from pad_ray.storage.place import is_s3
from pad_ray.train.verifier import Sampling


def check_folder(student: str) -> None:
    """Raises StudentError unless a student is a folder, or an s3:// URI: only there can its verifier be kept."""
    if not is_s3(student) and not (Path(student) / "config.json").is_file():
        raise StudentError(
            f"--student: {student!r} is no folder with a student.",
            hint="Name the folder or s3:// URI of a trained student: its verifier is kept in it.",
        )


def train_verifier(
    student: str, problems: str, sampling: Sampling, *, limit: int | None, reporter: Reporter
) -> dict[str, Any]:
    """Train the verifier of a student and write it into the student's folder; returns its card. Ray must be connected.

    Raises ProblemError for problems that cannot be read, NothingToTrainOn where all its programs are right, or all
    wrong.
    """
    import ray

    asked = take_in(problems, "train", limit=limit).problems
    cluster = here()
    gpus = min(cluster.gpus(), 1)
    task = ray.remote(num_cpus=1, num_gpus=gpus, **cluster.place_model(gpus))(_train_here).options(
        num_returns="streaming"
    )
    card: dict[str, Any] = {}
    stream: Any = task.remote(student, asked, sampling, {"problems": problems})
    with reporter.bar("verifier: programs", len(asked), "problems") as bar, plain_errors():
        for item in stream:
            done, card = ray.get(item)
            bar.to(done)
    return card


def _train_here(
    student: str, problems: list[Problem], sampling: Sampling, about: dict[str, Any]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The remote task: yields (problems done, the card once it is written)."""
    from pad_ray.decode.loading import load_engine
    from pad_ray.reasoner import student_thoughts
    from pad_ray.sandbox import Sandbox
    from pad_ray.thoughts.several import words
    from pad_ray.train.verifier import judged_programs, save, train_head

    folder = local_copy(student)
    thought = student_thoughts(folder)
    if isinstance(thought, tuple) or not thought.LINEWISE:
        raise StudentError(
            f"--student: it writes {words(thought).NAMES[1]}, and a verifier judges programs line by line, for beams.",
            hint="Train one for a student that writes programs.",
        )
    engine = load_engine(folder, batch_size=32 * sampling.samples, threads=os.cpu_count())
    settings = SandboxSettings()
    programs = []
    with Sandbox(level=settings.level, timeout_s=settings.timeout_s, confirm=True) as box:
        for number, some in enumerate(judged_programs(engine, box.run, thought, problems, sampling)):
            programs += some
            yield min(len(problems), 32 * (number + 1)), {}
    card = save(train_head(engine, programs), Storage(student), {**about, "samples": sampling.samples})
    yield len(problems), card
