"""The recipe `cluster` runs here with nothing changed but numbers and addresses, from its plan to the verifier."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tiny_student import make_tiny_student

from pad_ray.evaluate.decoders import decoder, measure
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import bring_base_student
from pad_ray.flow.verifying import train_verifier
from pad_ray.recipe_file import differences, load_recipe
from pad_ray.records import Example, Request, Sample
from pad_ray.refine.rounds import distill
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from pad_ray.thoughts.program import student_prompt
from pad_ray.thoughts.rewriting import made_by
from pad_ray.train.verifier import Sampling
from tests.fault_server import running

ADDRESSES = ("problems.train", "problems.eval", "teacher.base_url", "student.model")
MINIATURE = (
    "teacher.samples=2",
    "teacher.until_correct=4",
    "teacher.contexts=2",
    "teacher.workers=2",
    "teacher.concurrency=16",
    "augment.per_problem=1",
    "augment.votes=3",
    "augment.agree=2",
    "sandbox.workers=1",
    "train.workers=1",
    "train.lr=1.0e-4",
    "train.tokens_per_batch=4096",
    "train.micro_tokens=4096",
    "train.epochs=1",
    "train.validation=0.1",
    "refine.samples=2",
    "refine.limit=8",
    "refine.max_tokens=64",
    "refine.lr=1.0e-4",
    "decode.max_tokens=64",
    "decode.batch_size=32",
)
"""The smallest numbers with which every stage still has something to do."""
KNOWN = 4
"""Questions whose program the tiny student knows by heart before the run, so that its rounds find successes."""


def question(number: int) -> str:
    return f"What is {number} + 3?"


def program(number: int) -> str:
    return f"def solution():\n    return {number + 3}\n"


def jsonl(path: Path, numbers: range) -> Path:
    rows = ({"id": f"p{n}", "question": question(n), "answer": n + 3} for n in numbers)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def miniature(folder: Path, url: str, student: str) -> list[str]:
    train, held_out = jsonl(folder / "train.jsonl", range(10)), jsonl(folder / "held_out.jsonl", range(500, 502))
    where = (str(train), f"{{gsm8k: {held_out}}}", url, student)
    return [*MINIATURE, *(f"{key}={value}" for key, value in zip(ADDRESSES, where, strict=True))]


def test_the_miniature_differs_from_the_recipe_in_numbers_and_addresses_only(tmp_path: Path) -> None:
    whole, small = load_recipe("cluster"), load_recipe("cluster", miniature(tmp_path, "http://127.0.0.1:9/v1", "x"))
    changed = {line.partition(":")[0] for line in differences(small.model_dump(), whole.model_dump())}
    keys = {override.partition("=")[0] for override in MINIATURE}
    assert {key for key in changed if not key.startswith(ADDRESSES)} == keys
    for key in keys:
        section, name = key.split(".")
        assert type(getattr(getattr(small, section), name)) in (int, float)


def test_it_is_planned_offline_with_what_it_will_ask(tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [
        sys.executable,
        "-m",
        "pad_ray.cli",
        "plan",
        "cluster",
        *miniature(tmp_path, "http://127.0.0.1:9/v1", "nobody/nothing"),
    ]
    said = subprocess.run([*line, "--run-dir", str(run)], capture_output=True, text=True, check=True).stderr
    assert "10 training problems, 20 requests" in said
    assert "new problems and their solutions take up to 120 requests more" in said
    models = Counter(request.model for request in Storage(run).scan_rows("round-0/requests", Request))
    assert set(models) <= {one.model for one in load_recipe("cluster").teacher.members} and len(models) > 1


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("ray_session")
def test_its_miniature_runs_to_the_end_with_new_problems_several_teachers_rounds_and_a_verifier(tmp_path: Path) -> None:
    known = [(student_prompt(question(n)), program(n)) for n in range(KNOWN)]
    student, folder = make_tiny_student(tmp_path / "student", known, context=2048), tmp_path / "run"
    reporter = Reporter(Console(quiet=True))
    with running("--right", 0.8, "--seed", 4) as server:
        with open_run(load_recipe("cluster", miniature(tmp_path, server.url, str(student))), str(folder)) as run:
            bring_base_student(run, print)
            plan_rounds = run.recipe.refine.rounds
            distill(run, reporter)
            assert run.complete
        counted = server.stats()

    rows = [row for noun in ("augment", "round-0") for row in Storage(folder).scan_rows(f"{noun}/samples", Sample)]
    assert len(rows) == len({row.sample_id for row in rows}) == counted["calls"]
    assert len({row.model for row in rows}) == len(load_recipe("cluster").teacher.members)
    taught: list[Any] = list(Storage(folder).scan_rows("round-0/examples", Example))
    assert {kind for row in taught if (made := made_by(row.problem_id)) for kind in made[1:]} == {
        "rephrase",
        "change_numbers",
        "harder",
    }
    own = [row for n in range(1, plan_rounds + 1) for row in Storage(folder).scan_rows(f"round-{n}/examples", Example)]
    assert own and {row.origin for row in own} == {"student"}
    assert {(row["round"], row["suite"]) for row in status(folder)["accuracy"]} == {(n, "gsm8k") for n in range(-1, 3)}

    last = f"{folder}/round-{plan_rounds}/student"
    card = train_verifier(last, str(tmp_path / "train.jsonl"), Sampling(4, 0.7, 64, 0), limit=10, reporter=reporter)
    assert card["programs"] > 0
    wanted = [decoder("greedy"), decoder("vote:samples=4"), decoder("beam:beams=2,continuations=2,scorer=verifier")]
    suites = {"gsm8k": str(tmp_path / "held_out.jsonl")}
    measured = measure(last, suites, wanted, str(tmp_path / "d"), limit=2, seed=0, match="exact", reporter=reporter)
    assert "beam" in json.dumps(measured)
