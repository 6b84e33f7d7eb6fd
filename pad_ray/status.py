"""What a run folder says of itself: state, stages, outcomes, spend, accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.lease import is_held
from pad_ray.manifest import NAME, Manifest, load_manifest
from pad_ray.storage import Storage


def status(run_dir: str | Path, recount: Callable[[Storage, Manifest], None] | None = None) -> dict[str, Any]:
    """The content of `pad-ray status --json`. Raises UsageError for a folder that is no run.

    A manifest is behind the rows of a stage that has not ended well; `recount` brings it up to them.
    """
    manifest = read_manifest(run_dir)
    if recount:
        recount(Storage(run_dir), manifest)
    if manifest.state == "running" and not is_held(Storage(run_dir)):
        # Killed: nobody was left to write it down.
        manifest.state = "interrupted"
        for stage in manifest.stages:
            stage.state = "partial" if stage.state == "running" else stage.state
    first = manifest.find(0, "judge")
    return {
        "state": manifest.state,
        "error": manifest.error,
        "run_id": manifest.run_id,
        "recipe_hash": manifest.recipe_hash,
        "stages": [
            stage.model_dump(include={"round", "stage", "state", "new", "reused", "seconds"})
            for stage in manifest.stages
        ],
        "outcomes": first.counts.get("outcomes", {}) if first else {},
        "augmented": augmented_counts(stage.counts for stage in manifest.stages),
        "models": first.counts.get("by_model", {}) if first else {},
        "examples": sum(stage.counts.get("kept", 0) for stage in manifest.stages if stage.stage == "curate"),
        "origins": _example_counts(manifest, "by_origin"),
        "injected": _example_counts(manifest, "by_operator"),
        "validation": [
            {"round": stage.round, **stage.counts["validation"]}
            for stage in manifest.stages
            if "validation" in stage.counts
        ],
        "spend": total_spend(stage.counts for stage in manifest.stages),
        "accuracy": [
            {"round": stage.round, **measured}
            for stage in manifest.stages
            if stage.stage == "evaluate"
            for measured in stage.counts.get("measured", [])
        ],
        "facts": manifest.facts,
    }


def total_spend(counts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the stages with these counts spent together; `unsettled` dollars may have been billed, or not."""
    spends = [one["spend"] for one in counts if "spend" in one]
    keys = ("prompt_tokens", "completion_tokens", "usd", "unsettled", "unsettled_calls", "cached")
    return {key: sum(spend.get(key, 0) for spend in spends) for key in keys}


def validation_words(found: Mapping[str, Any]) -> str:
    """What the held-out questions said of a training: the lowest loss, where, and what followed from it."""
    exported = ", which is exported" if found["exported_step"] == found["best_step"] else ""
    stopped = "; stopped early" if found["stopped_early"] else ""
    return f"{found['best_loss']:.3f} at its lowest, after step {found['best_step']:,}{exported}{stopped}"


def augmented_counts(counts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """What became of the rewriting, by kind: asked, kept, labelled, examples made of it; the rest by reason.

    `counts` are those of all stages, in their order.
    """
    total: dict[str, dict[str, int]] = {}
    for one in counts:
        for key in ("augmented", "labels", "new_examples"):
            for kind, found in one.get(key, {}).items():
                total.setdefault(kind, {}).update(found)
    return total


def _example_counts(manifest: Manifest, key: str) -> dict[str, int]:
    """The examples of all rounds, by what curation counted them by."""
    total = Counter[str]()
    for stage in manifest.stages:
        if stage.stage == "curate":
            total.update(stage.counts.get(key, {}))
    return dict(total)


def read_manifest(run_dir: str | Path) -> Manifest:
    """The manifest of a run folder. Raises UsageError for anything else, naming the runs that lie in it."""
    storage = Storage(run_dir)
    folder = storage.path("")
    if not storage.remote and not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{run_dir} is not a run folder: it {what}.", hint=_HINT)
    storage.check()
    manifest = load_manifest(storage)
    if manifest is None:
        inside = [] if storage.remote else sorted(str(path.parent) for path in Path(run_dir).glob(f"*/{NAME}"))[:5]
        hint = f"These are: {', '.join(inside)}." if inside else _HINT
        if storage.exists(STUDY_FILE):
            raise UsageError(f"{run_dir} is the folder of a study, not of a run.", hint=STUDY_HINT)
        raise UsageError(f"{run_dir} is not a run folder: it has no {NAME}.", hint=hint)
    return manifest


STUDY_FILE = "study.yaml"
"""What the folder of a study holds, and that of a run does not."""
STUDY_HINT = "Its runs are in arms/NAME-seedN, and study.html compares them."
_HINT = "Give the --run-dir of a distill call (runs/NAME where none was given)."
