"""Which student a round starts from and ends with; and the models that are not of the run, brought into it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pad_ray.errors import StorageError
from pad_ray.flow.fitting import check_fit
from pad_ray.run import Run
from pad_ray.students import cache_folder, local_student

BASE = "base/student"
"""The untrained student's folder in a run."""
NOTE = "base/source.json"
"""Says which student that is; written last."""
TEACHER = "base/teacher"
"""The folder of the teacher whose probabilities are learned."""
TEACHER_NOTE = "base/teacher.json"
"""Says which teacher that is; written last."""


def bring_base_student(run: Run, say: Callable[[str], None]) -> None:
    """Put the untrained student into the run's storage, once: workers never depend on the driver's cache or folders.

    So with the teacher of train.distill, where it is another model. Raises StudentError for what is not a model,
    cannot be fetched or does not fit the recipe, StorageError when there is no room.
    """
    student, distill = run.recipe.student, run.recipe.train.distill
    _bring(run, student.model, student.init, BASE, NOTE, "student.model", say)
    other = bool(distill and distill.teacher != "self")
    if distill and other:
        _bring(run, distill.teacher, "pretrained", TEACHER, TEACHER_NOTE, "train.distill.teacher", say)
    folder = run.storage.path(BASE)
    # In a bucket it may have been since another machine brought it, and looked at it.
    if folder.is_dir():
        check_fit(run.recipe, folder, run.storage.path(TEACHER) if other else None)


def _bring(run: Run, model: str, init: str, name: str, note: str, key: str, say: Callable[[str], None]) -> None:
    target = run.storage.path(name)
    source_note = json.dumps({"model": model, "init": init})
    # Until a stage is finished a run may change its recipe, and so its models.
    if run.storage.exists(note) and run.storage.read(note).decode() == source_note:
        return
    run.storage.delete(name)
    source = local_student(model, init, say, key)
    # What is in our own cache is never changed in place, so a second name for it is as good as a copy.
    ours = source.is_relative_to(cache_folder().absolute())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".bringing-", dir=target.parent) as work:
            shutil.copytree(source, Path(work) / target.name, copy_function=link_or_copy if ours else shutil.copy2)
            (Path(work) / target.name).rename(target)
        run.storage.publish(name)
        run.storage.write(note, source_note.encode())
    except (OSError, shutil.Error) as error:
        raise StorageError(
            f"the {target.name} cannot be copied to {target}: {getattr(error, 'strerror', None) or error}.",
            hint="The run folder needs room for it; free some, or choose another --run-dir.",
        ) from error


def student_of(run: Run, round_: int) -> str:
    """Folder of the student that a round ended with; a round without anything new keeps the one before."""
    if round_ < 0:
        return BASE
    stage = run.done(round_, "train")
    return stage.counts["checkpoint"]["student"] if stage else f"round-{round_}/student"


def teaching_student(run: Run, round_: int) -> str:
    """The student that a round starts from, as `local_copy` takes it."""
    return run.storage.uri(student_of(run, round_ - 1))


def distilled_teacher(run: Run, round_: int) -> str:
    """The teacher whose probabilities a round learns, as `local_copy` takes it; empty where there is none."""
    distill = run.recipe.train.distill
    if distill is None:
        return ""
    if distill.teacher != "self":
        return run.storage.uri(TEACHER)
    # In round 0 there is no student yet that has learned anything.
    return teaching_student(run, round_) if round_ else ""


def link_or_copy(source: str, target: str) -> None:
    """Give a file a second name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
