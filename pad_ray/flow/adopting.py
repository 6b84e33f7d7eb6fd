"""Adopting what another run has made: the shared stages of a study become those of an arm.

Small files are copied, models get a second name. The manifest is written last: killed before, it is all done again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pad_ray.evaluate.folder import UNTRAINED, probe_folder
from pad_ray.flow.students import TEACHER, TEACHER_NOTE, link_or_copy, student_of
from pad_ray.manifest import load_manifest
from pad_ray.recipe import Recipe
from pad_ray.run import Run
from pad_ray.storage import Storage

_NOUNS = ("requests", "samples", "verdicts", "examples", "checkpoint", "decomposer")
"""What the stages of a round keep their files in, beside its students and evaluations."""


def adopt(run: Run, shared: Storage, *, sampling: bool) -> None:
    """Make the finished stages of a shared run those of this one: round 0, and with `sampling` the programs of round 1.

    Raises StorageError.
    """
    manifest = load_manifest(shared)
    stages = [
        stage.model_copy(update={"new": 0, "reused": stage.new + stage.reused})
        for stage in (manifest.stages if manifest else ())
        if stage.round < 1 or (sampling and run.is_fresh(1))
    ]
    rounds = max((stage.round for stage in stages), default=0)
    for folder in _folders(run.recipe, rounds):
        for name in shared.names(folder, ""):
            if not Path(name).name.startswith("."):
                run.storage.write(name, shared.read(name))
    _share(run, shared, student_of(run, 0))
    if shared.exists(TEACHER_NOTE):
        _share(run, shared, TEACHER)
        run.storage.write(TEACHER_NOTE, shared.read(TEACHER_NOTE))
    run.manifest.stages = stages
    run.manifest.facts.update({} if manifest is None else manifest.facts)
    run.save()


def _folders(recipe: Recipe, rounds: int) -> Iterator[str]:
    """Every folder whose own files the shared stages wrote."""
    yield from ("problems", "problems/train", "problems/eval", "problems/probe")
    yield from (f"augment/{noun}" for noun in _NOUNS)
    for round_ in range(rounds + 1):
        yield from (f"round-{round_}/{noun}" for noun in _NOUNS)
    for suite in recipe.problems.eval:
        yield f"round-0/eval/{suite}"
        yield from (f"base/eval/{suite}/{prompt}" for prompt in recipe.evaluate.baselines)
    for probe in recipe.problems.probe:
        for prompt in recipe.evaluate.baselines:
            yield from (probe_folder(round_, probe, prompt) for round_ in (UNTRAINED, 0))


def _share(run: Run, shared: Storage, name: str) -> None:
    """Give a folder of large files a second name: models are replaced whole, never changed in place."""
    target = run.storage.path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sharing-", dir=target.parent) as work:
        made = Path(work) / target.name
        shutil.copytree(shared.fetch(name), made, copy_function=link_or_copy)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    run.storage.publish(name)
