"""A driver of batches that dies at a chosen moment, for the tests; without one it goes on to the end.

python -m tests.flow.batch_driver RECIPE.yaml RUN_DIR [before_create | after_create | mid_journal]
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pad_ray.flow.batching import BatchAsking
from pad_ray.flow.journal import JournalWriter
from pad_ray.flow.plan import plan, shards
from pad_ray.recipe_file import parse_recipe
from pad_ray.run import Run, open_run
from pad_ray.teacher.batch import BatchClient
from pad_ray.teacher.governor import Stop


def ask(run: Run, url: str, key: str = "") -> Stop | None:
    """Plan, and get every sample that batches can get; what is spent is read from the rows, as compaction does."""
    plan(run, 0)
    cut = shards(run, 0)
    spent = sum(sample.cost_usd + sample.unsettled_usd for shard in cut for sample in shard.samples().values())
    asking = BatchAsking(run, cut, BatchClient(url, key, timeout_s=30), spent, first_look_s=0.05)
    asking.run(lambda came, note: None)
    return asking.stop


def die(*_: Any, **__: Any) -> Any:
    """As SIGKILL from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(recipe: str, folder: str, moment: str = "") -> None:
    created, appended = BatchClient.create, JournalWriter.append
    written = 0

    def create_and_die(self: BatchClient, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        created(self, name, data, metadata)
        return die()

    def append_and_die(self: JournalWriter, shard: int, record: Any) -> None:
        nonlocal written
        appended(self, shard, record)
        written += 1
        if written == 5:
            die()

    if moment == "before_create":
        BatchClient.create = die
    elif moment == "after_create":
        BatchClient.create = create_and_die
    elif moment == "mid_journal":
        JournalWriter.append = append_and_die
    read = parse_recipe(yaml.safe_load(Path(recipe).read_text()))
    with open_run(read, folder) as run:
        ask(run, read.teacher.base_url)


if __name__ == "__main__":
    main(*sys.argv[1:])
