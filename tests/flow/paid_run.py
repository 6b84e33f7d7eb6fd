"""A paid run as its user has it: `pad-ray` in a process of its own with its own Ray, against the fault server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from pad_ray.flow.journal import Reservation, decode
from pad_ray.records import Request, Sample
from pad_ray.storage import Storage

PRICE = {"input": 100.0, "output": 200.0, "cached": 50.0}
"""A hundred times a usual one, so that a small run costs some dollars."""
TOO_BUSY = "Ray did not start in the time it gives itself"
"""Said where the same command should be run again."""
SAMPLES = 3
"""Replies per problem."""


def recipe_file(folder: Path, url: str, problems: int, **teacher: Any) -> Path:
    """A recipe that asks the endpoint at `url` for SAMPLES replies to each of so many problems."""
    rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(problems)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"kind": "openai", "base_url": url, "model": "m", "samples": SAMPLES, "price": PRICE, "max_tokens": 64}
    recipe = {
        "name": "paid",
        "seed": 5,
        "problems": {"train": str(folder / "problems.jsonl")},
        "teacher": {**asked, **teacher},
        "student": {"model": "package://quick/student", "init": "random"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"


def billed_usd(counted: dict[str, Any]) -> float:
    """What the server's count comes to at PRICE."""
    fresh = counted["prompt_tokens"] - counted["cached_tokens"]
    cached, written = counted["cached_tokens"], counted["completion_tokens"]
    return (fresh * PRICE["input"] + cached * PRICE["cached"] + written * PRICE["output"]) / 1e6


class PaidRun:
    """A run folder and the commands on it; as a context it leaves no process behind."""

    def __init__(self, recipe: Path, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> PaidRun:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def start(self, command: str, *overrides: str) -> subprocess.Popen[str]:
        """`pad-ray COMMAND` on this run."""
        line = [sys.executable, "-m", "pad_ray.cli", command, str(self.recipe), *overrides]
        line += ["--run-dir", str(self.folder)]
        # A group of its own, as a shell gives each command: what it starts hears Ctrl-C too.
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._processes.append(subprocess.Popen(line, text=True, start_new_session=True, **pipes))
        return self._processes[-1]

    def end(self, command: str, *overrides: str, code: int = 0) -> str:
        """Run a command to its end; returns what it said."""
        process = self.start(command, *overrides)
        while TOO_BUSY in (said := process.communicate()[0]):
            process = self.start(command, *overrides)
        assert process.returncode == code, said[-3000:]
        return said

    def status(self) -> dict[str, Any]:
        """`pad-ray status --json`."""
        line = [sys.executable, "-m", "pad_ray.cli", "status", str(self.folder), "--json"]
        return json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)

    def requests(self) -> list[Request]:
        """Everything planned."""
        return list(Storage(self.folder).scan_rows("round-0/requests", Request))

    def samples(self) -> list[Sample]:
        """Everything compacted."""
        return list(Storage(self.folder).scan_rows("round-0/samples", Sample))

    def finished(self) -> set[str]:
        """The ids that have a reply, in journals or compacted."""
        journals = self.folder.glob("round-0/samples/journal/*/*.jsonl")
        rows = (json.loads(line) for path in journals for line in whole_lines(path))
        journaled = {row["sample_id"] for row in rows if "sample_id" in row and not row["error"]}
        return journaled | {row.sample_id for row in self.samples() if not row.error}

    def unsettled(self) -> list[Reservation]:
        """The calls that processes left open when they died."""
        kept = self.folder.glob("round-0/samples/unsettled/*.jsonl")
        return [decode(Reservation, line) for path in kept for line in whole_lines(path)]


def whole_lines(path: Path) -> list[bytes]:
    """Of a file that is still written, or compacted just now; a torn line at its end is left out."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].splitlines()
