"""A run: a recipe bound to a folder, held by one process, with its manifest kept true."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import yaml

from pad_ray.budget import Sizes
from pad_ray.errors import BudgetReached, OutOfOrder, PadRayError, RecipeError
from pad_ray.lease import Lease
from pad_ray.manifest import Manifest, Stage, StageName, load_manifest
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import differences, parse_recipe
from pad_ray.storage import Storage


class Run:
    """What every stage is handed: the recipe, the storage, and the manifest."""

    def __init__(self, recipe: Recipe, storage: Storage, manifest: Manifest, lease: Lease) -> None:
        self.recipe, self.storage, self.manifest, self._lease = recipe, storage, manifest, lease

    def done(self, round_: int, name: StageName) -> Stage | None:
        """The record of a finished stage, else None; with calls that failed for a passing reason it is not finished."""
        stage = self.manifest.find(round_, name)
        return stage if stage and stage.state == "done" and not stage.counts.get("transient") else None

    def require(self, round_: int, name: StageName) -> None:
        """Raises OutOfOrder unless a stage that the next one builds on is finished."""
        stage = self.manifest.find(round_, name)
        if stage is None or stage.state != "done":
            who = "" if round_ == 0 else f" --round {round_}"
            raise OutOfOrder(
                f"round {round_} has no finished stage {name!r}, which comes first.",
                hint=f"Run `pad-ray {name} …{who}` or let `pad-ray distill` do everything in order.",
            )

    def is_fresh(self, round_: int) -> bool:
        """Whether a round makes examples of its own, before it trains."""
        return round_ == 0 or self.recipe.refine.fresh

    @property
    def sizes(self) -> Sizes | None:
        """What the calibration settled, for recipes with a time budget, once it is done."""
        stage = self.done(-1, "calibrate")
        return Sizes(**stage.counts["sizes"]) if stage else None

    @property
    def complete(self) -> bool:
        """Whether every stage of every round is done."""
        gather: tuple[StageName, ...] = ("plan", "sample", "judge", "curate")
        learn: tuple[StageName, ...] = ("train", "evaluate")
        wanted: list[tuple[int, StageName]] = [
            (round_, name)
            for round_ in range(self.recipe.refine.rounds + 1)
            for name in (*(gather if self.is_fresh(round_) else ()), *learn)
        ]
        if self.recipe.augment.kinds:
            wanted.append((0, "augment"))
        if self.recipe.evaluate.baselines:
            wanted.append((-1, "evaluate"))
        if self.recipe.budget.minutes is not None:
            wanted.append((-1, "calibrate"))
        return all(self.done(*key) for key in wanted)

    @contextmanager
    def stage(self, round_: int, name: StageName) -> Iterator[Stage]:
        """Run a stage: it is `running` inside the block and `done` after it, unless the block raises."""
        stage = self.manifest.find(round_, name)
        if stage is None:
            stage = Stage(round=round_, stage=name)
            self.manifest.stages.append(stage)
        stage.state, stage.new, stage.reused = "running", 0, 0
        self.save()
        started = time.monotonic()
        try:
            yield stage
            stage.state = "done"
        except BaseException as error:
            stage.state = "partial"
            if isinstance(error, KeyboardInterrupt):
                # Written down now: whoever interrupts may not wait until Ray has ended too.
                self.ended(error)
            raise
        finally:
            stage.seconds = round(stage.seconds + time.monotonic() - started, 2)
            self.save()

    def ended(self, error: BaseException) -> None:
        """Let the manifest say how the run ended by this error."""
        self.manifest.state, self.manifest.error = _state_after(error), _words(error)

    def save(self) -> None:
        """Write the manifest, if this process still holds the run."""
        self._lease.check()
        self.manifest.save(self.storage)


@contextmanager
def open_run(recipe: Recipe, run_dir: str = "") -> Iterator[Run]:
    """Create or resume the run folder of a recipe, and leave a true state in its manifest however the block ends.

    Raises RecipeError if the folder belongs to another recipe (naming the keys), LeaseError if it is in use,
    StorageError if it cannot be written.
    """
    storage = Storage(run_dir or recipe.storage.run_dir or f"runs/{recipe.name}", recipe.storage.s3_endpoint)
    storage.check()
    with Lease(storage) as lease:
        manifest = _manifest(recipe, storage)
        before = ("partial" if manifest.state == "running" else manifest.state), manifest.error
        manifest.state, manifest.error = "running", ""
        run = Run(recipe, storage, manifest, lease)
        for stage in manifest.stages:
            # What an earlier call made is reused by this one.
            stage.reused, stage.new = stage.reused + stage.new, 0
        run.save()
        try:
            yield run
            manifest.state = "done" if run.complete else "partial"
        except OutOfOrder:
            manifest.state, manifest.error = before  # nothing was done, so nothing failed
            raise
        except BaseException as error:
            run.ended(error)
            raise
        finally:
            run.save()


def stored_recipe(storage: Storage) -> Recipe:
    """The recipe that a run folder was made with."""
    return parse_recipe(yaml.safe_load(storage.read("recipe.yaml")), f"{storage}/recipe.yaml")


def begun_recipe(storage: Storage) -> Recipe | None:
    """The recipe that a run folder belongs to for good; None where it may still be made with any."""
    manifest = load_manifest(storage)
    return stored_recipe(storage) if manifest and _is_begun(manifest, storage) else None


def _manifest(recipe: Recipe, storage: Storage) -> Manifest:
    """The manifest to go on with; nothing is written into a folder that is refused."""
    manifest = load_manifest(storage)
    # Where nothing was ever asked or made (a mistyped path, say, or only a plan) the recipe may still change.
    if manifest is not None and _is_begun(manifest, storage):
        _check_same(recipe, storage)
        return manifest
    storage.write("recipe.yaml", recipe.to_yaml().encode())
    return Manifest(recipe_hash=recipe.hash(), facts=_facts())


def _is_begun(manifest: Manifest, storage: Storage) -> bool:
    asked = (f"{folder}/{noun}" for folder in ("round-0", "augment") for noun in ("samples", "batches"))
    made = any(stage.state == "done" and stage.stage != "plan" for stage in manifest.stages)
    return made or any(storage.exists(name) for name in asked)


def _check_same(recipe: Recipe, storage: Storage) -> None:
    theirs = stored_recipe(storage)
    if theirs.hash() == recipe.hash():
        return
    found = differences(recipe.identity(), theirs.identity())
    raise RecipeError(
        f"the run folder {storage} belongs to another recipe ({'; '.join(found[:5])}).",
        hint="Use the same values to resume it, or choose another --run-dir.",
    )


def _state_after(error: BaseException) -> Any:
    if isinstance(error, BudgetReached):
        return "stopped"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "the same command resumes it"
    return str(error) if isinstance(error, PadRayError) else repr(error)


def _facts() -> dict[str, Any]:
    packages = ("ray", "torch", "transformers", "deepspeed")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: version(name) for name in packages},
    }
