"""A run of two curated rounds, in which every sample that became no example did so for a reason of its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from pad_ray.flow.curating import curate_shard
from pad_ray.flow.shard import Shard
from pad_ray.outcomes import Outcome
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Message, Problem, Request, Sample, Verdict, sample_id
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage

C, W = Outcome.CORRECT, Outcome.WRONG_ANSWER
TWO, ALSO_TWO, AGAIN_TWO = (f"def solution():\n    return {text}\n" for text in ("2", "1 + 1", "4 - 2"))
WRONG, OTHER_WRONG, LAST_WRONG = (f"def solution():\n    return {text}\n" for text in ("3", "4", "5"))
# The canonical form has no statement without effect on a name, so the list stays empty.
CHANGES = "x = []\nx.append(2)\ndef solution():\n    return x[0]{}\n"

TEACHER: dict[str, list[tuple[str, Outcome]]] = {
    "busy": [
        (TWO, C),
        ("def answer():  # the same\n    return 2\n", C),
        (ALSO_TWO, C),
        (AGAIN_TWO, C),
        (f"def solution():\n    return {' + '.join(['0'] * 80)} + 2\n", C),
        ("def solution(n):\n    return n\n", C),
        ("import random\ndef solution():\n    return random.choice([2])\n", C),
        (WRONG, W),
        ("", Outcome.REFUSED),
    ],
    "changed": [(CHANGES.format(""), C)],
    "hopeless": [(WRONG, W)],
}
STUDENT: dict[str, list[tuple[str, Outcome]]] = {
    "busy": [
        (TWO, C),
        (WRONG, W),
        (WRONG, W),
        (OTHER_WRONG, W),
        (LAST_WRONG, W),
        ("", Outcome.REFUSED),
    ],
    "hopeless": [(WRONG, W)],
}


def write_curated_run(root: Path) -> Path:
    """Two curated rounds of one shard; every answer is 2."""
    storage = Storage(root)
    recipe = parse_recipe(
        {
            "name": "t",
            "problems": {"train": "p.jsonl"},
            "student": {"model": "m"},
            "curate": {"max_per_problem": 2, "max_chars": 200},
        }
    )
    storage.write("recipe.yaml", recipe.to_yaml().encode())
    problems = [Problem(name, f"What is two, asked by {name}?", "2", source="sums") for name in TEACHER]
    storage.write_rows("problems/train/shard-00000.parquet", Problem, problems)
    stages = []
    with Sandbox() as box:
        for round_, replies in enumerate((TEACHER, STUDENT)):
            shard = Shard(str(root), round_, 0)
            write_judged(shard, replies)
            examples, dropped = curate_shard(shard, recipe, box)
            storage.write_rows(shard.file("examples"), type(examples[0]), examples)
            write_summary(storage, round_, dropped)
            stages.append({"round": round_, "stage": "curate", "state": "done"})
    manifest = {"format_version": 1, "recipe_hash": recipe.hash(), "state": "done", "stages": stages}
    storage.write("manifest.json", json.dumps(manifest).encode())
    return root


def write_judged(shard: Shard, replies: dict[str, list[tuple[str, Outcome]]]) -> None:
    """Requests, samples and verdicts of a shard."""
    requests, samples, verdicts = [], [], []
    for problem_id, programs in replies.items():
        for k, (program, outcome) in enumerate(programs):
            name = sample_id(problem_id, "program", shard.round, k)
            asked = (Message("user", f"What is two, asked by {problem_id}?"),)
            requests.append(Request(name, problem_id, k, asked, "big teacher", 0.7, 64, 0))
            samples.append(Sample(name, f"Here it is:\n{program}"))
            value = {C: "2", W: program.split()[-1] if program else ""}.get(outcome, "")
            verdicts.append(Verdict(name, program, outcome, value, sandbox="strict", seconds=0.001))
    rows = {"requests": (Request, requests), "samples": (Sample, samples), "verdicts": (Verdict, verdicts)}
    for noun, (kind, found) in rows.items():
        shard.storage.write_rows(shard.file(noun), kind, found)


def write_summary(storage: Storage, round_: int, dropped: Counter[str]) -> None:
    """The part of a curation's summary that says what was dropped."""
    storage.write(f"round-{round_}/examples/summary.json", json.dumps({"dropped": dict(dropped)}).encode())
