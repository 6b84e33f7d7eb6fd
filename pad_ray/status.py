"""What a run folder says of itself: state, stages, outcomes, spend, accuracy; and one sample whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pad_ray.errors import UsageError
from pad_ray.lease import is_held
from pad_ray.manifest import Manifest, load_manifest
from pad_ray.storage import Storage


def status(run_dir: Path) -> dict[str, Any]:
    """The content of `pad-ray status --json`. Raises UsageError for a folder that is no run."""
    manifest = _manifest(run_dir)
    if manifest.state == "running" and not is_held(Storage(run_dir)):
        # Killed: nobody was left to write it down.
        manifest.state = "interrupted"
        for stage in manifest.stages:
            stage.state = "partial" if stage.state == "running" else stage.state
    first = manifest.find(0, "judge")
    spends = [stage.counts["spend"] for stage in manifest.stages if "spend" in stage.counts]
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
        "examples": sum(stage.counts.get("kept", 0) for stage in manifest.stages if stage.stage == "curate"),
        "spend": {
            key: sum(spend[key] for spend in spends)
            for key in ("prompt_tokens", "completion_tokens", "usd", "unsettled")
        },
        "accuracy": [
            {"round": stage.round, "suite": suite, **counts}
            for stage in manifest.stages
            if stage.stage == "evaluate"
            for suite, counts in stage.counts.items()
        ],
        "facts": manifest.facts,
    }


def show(run_dir: Path, sample_id: str) -> dict[str, Any]:
    """One sample whole: request, reply, verdict, and the examples made of it. Raises UsageError if it is not there."""
    import pyarrow.parquet as pq

    _manifest(run_dir)
    found: dict[str, Any] = {}
    for noun in ("requests", "samples", "verdicts"):
        for path in sorted(run_dir.glob(f"round-*/{noun}/*.parquet")):
            rows = pq.read_table(path, filters=[("sample_id", "=", sample_id)]).to_pylist()
            if rows:
                found[noun.removesuffix("s")] = rows[0]
    if "request" not in found:
        raise UsageError(
            f"{run_dir} has no sample {sample_id!r}.",
            hint="Ids look like lcm/7/0#program.r0.k0; the column sample_id of round-0/samples/*.parquet lists them.",
        )
    found["examples"] = [
        row
        for path in sorted(run_dir.glob("round-*/examples/*.parquet"))
        for row in pq.read_table(path, filters=[("problem_id", "=", found["request"]["problem_id"])]).to_pylist()
        if row["example_id"] == sample_id or row["example_id"].startswith(f"{sample_id}!")
    ]
    return json.loads(json.dumps(found, default=str))


def _manifest(run_dir: Path) -> Manifest:
    manifest = load_manifest(Storage(run_dir)) if run_dir.is_dir() else None
    if manifest is None:
        raise UsageError(
            f"{run_dir} is not a run folder (no manifest.json).", hint="Give the --run-dir of a distill call."
        )
    return manifest
