"""Batches of a run: each request is asked once, whatever fails and whenever the driver is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pad_ray.errors import TeacherError
from pad_ray.flow.plan import plan, sentences, shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Sample
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.teacher.governor import Stop
from tests.batch_server import Running, running
from tests.flow.batch_driver import ask

PRICE = {"input": 100.0, "output": 200.0, "cached": 50.0}
REPO = Path(__file__).parents[2]


def recipe_of(folder: Path, server: Running, questions: list[str], **teacher: Any) -> Recipe:
    rows = [{"id": f"p{n}", "question": question, "answer": "1"} for n, question in enumerate(questions)]
    (folder / "problems.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    asked = {"kind": "batch", "base_url": server.url, "model": "m", "samples": 2, "price": PRICE, "max_tokens": 64}
    tree = {
        "name": "t",
        "problems": {"train": str(folder / "problems.jsonl")},
        "teacher": {**asked, "workers": 1, **teacher},
        "sandbox": {"workers": 1},
        "student": {"model": "none"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(tree))
    return parse_recipe(tree)


def go(recipe: Recipe, folder: Path, key: str = "") -> Stop | None:
    with open_run(recipe, str(folder)) as run:
        return ask(run, recipe.teacher.base_url, key)


def samples(recipe: Recipe, folder: Path) -> dict[str, Sample]:
    with open_run(recipe, str(folder)) as run:
        return {id_: sample for shard in shards(run, 0) for id_, sample in shard.samples().items()}


def billed(counted: dict[str, Any]) -> float:
    fresh = counted["prompt"] - counted["cached"]
    return (
        fresh * PRICE["input"] + counted["cached"] * PRICE["cached"] + counted["completion"] * PRICE["output"]
    ) / 1e6


@pytest.mark.usefixtures("ray_session")
def test_a_whole_run_is_sampled_by_batches_and_judged(tmp_path: Path) -> None:
    with running() as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 0?", "What is 5 + 1?"])
        with open_run(recipe, str(tmp_path / "run")) as run:
            plan(run, 0)
            sample_and_judge(run, 0, Reporter(Console(quiet=True)))
        counted = server.stats()
    found = status(tmp_path / "run")
    assert found["outcomes"] == {"correct": 2, "wrong_answer": 2}
    assert found["spend"]["usd"] == pytest.approx(billed(counted))
    assert found["spend"]["completion_tokens"] == counted["completion"]
    stage = next(stage for stage in found["stages"] if stage["stage"] == "sample")
    assert (stage["state"], stage["new"]) == ("done", 4)


def test_every_request_is_asked_in_one_batch_of_its_shard_and_the_ledger_is_the_providers_count(tmp_path: Path) -> None:
    with running("--delay", 0.1) as server:
        recipe = recipe_of(tmp_path, server, [f"What is {n} + 1?" for n in range(12)])
        assert go(recipe, tmp_path / "run") is None
        counted = server.stats()
        found = samples(recipe, tmp_path / "run")
        assert len(found) == sum(counted["requests"]) == 24
        assert all(row.text.startswith("```python") and not row.error for row in found.values())
        assert sum(row.cost_usd for row in found.values()) == pytest.approx(billed(counted))
        made = Counter(tuple(sorted(metadata.items())) for metadata in counted["batches"])
        assert set(made.values()) == {1}
        # Again: nothing is left to ask.
        assert go(recipe, tmp_path / "run") is None
        assert server.stats() == counted


def test_rows_that_failed_expired_or_are_missing_are_errors_of_their_own_and_only_passing_ones_are_asked_again(
    tmp_path: Path,
) -> None:
    faults = ["429", "500", "expired", "missing", "null_content", "400"]
    with running() as server:
        questions = [f"What is {n} + 1? [faults: {fault}]" for n, fault in enumerate(faults)]
        recipe = recipe_of(tmp_path, server, [*questions, "What is 7 + 1?"], samples=1)
        assert go(recipe, tmp_path / "run") is None
        first = {id_.partition("#")[0]: row for id_, row in samples(recipe, tmp_path / "run").items()}
        assert [first[f"p{n}"].transient for n in range(6)] == [True] * 5 + [False]
        assert all(first[f"p{n}"].error for n in range(6))
        assert "batch_expired" in first["p2"].error
        assert "no row" in first["p3"].error
        assert (first["p6"].error, first["p6"].attempts) == ("", 1)
        assert go(recipe, tmp_path / "run") is None
        second = {id_.partition("#")[0]: row for id_, row in samples(recipe, tmp_path / "run").items()}
        assert [bool(second[f"p{n}"].error) for n in range(7)] == [False] * 5 + [True, False]
        # The reply without text was billed, and is not forgotten.
        assert (second["p4"].attempts, second["p4"].cost_usd) == (2, pytest.approx(2 * first["p4"].cost_usd))
        counted = server.stats()
    assert sum(row.cost_usd for row in second.values()) == pytest.approx(billed(counted))
    assert counted["again"] == []


@pytest.mark.parametrize("moment", ["before_create", "after_create", "mid_journal"])
def test_a_driver_that_is_killed_finds_its_batches_again_and_makes_none_twice(tmp_path: Path, moment: str) -> None:
    with running() as server:
        recipe = recipe_of(tmp_path, server, [f"What is {n} + 1?" for n in range(8)])
        command = [sys.executable, "-m", "tests.flow.batch_driver", "recipe.yaml", "run", moment]
        command[3:5] = [str(tmp_path / name) for name in command[3:5]]
        killed = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
        assert killed.returncode == -9, killed.stderr
        made = len(server.stats()["batches"])
        assert made == {"before_create": 0, "after_create": 1}.get(moment, made)
        assert go(recipe, tmp_path / "run") is None
        counted = server.stats()
        found = samples(recipe, tmp_path / "run")
    assert sum(counted["requests"]) == len(found) == 16
    assert counted["again"] == []
    assert sum(row.cost_usd for row in found.values()) == pytest.approx(billed(counted))
    assert {row.attempts for row in found.values()} == {1}


def test_answers_that_get_lost_on_their_way_cost_time_and_nothing_else(tmp_path: Path) -> None:
    with running("--poll-errors", 3, "--create-errors", 1, "--cut-files", 1) as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 1?", "What is 2 + 1?"])
        assert go(recipe, tmp_path / "run") is None
        counted = server.stats()
        assert len(samples(recipe, tmp_path / "run")) == sum(counted["requests"]) == 4


def test_at_the_cap_smaller_batches_are_made_then_none_and_a_higher_cap_goes_on(tmp_path: Path) -> None:
    with running() as server:
        questions = [f"What is {n} + 1?" for n in range(30)]
        small = recipe_of(tmp_path, server, questions, budget_usd=1.0)
        stop = go(small, tmp_path / "run")
        assert stop is not None
        assert stop.error().exit_code == 3
        assert "teacher.budget_usd" in stop.sentence
        spent = sum(row.cost_usd for row in samples(small, tmp_path / "run").values())
        assert 0 < spent <= 1.0
        asked = sum(server.stats()["requests"])
        assert 0 < asked < 60
        large = recipe_of(tmp_path, server, questions, budget_usd=50.0)
        assert go(large, tmp_path / "run") is None
        counted = server.stats()
        assert len(samples(large, tmp_path / "run")) == sum(counted["requests"]) == 60
        assert counted["again"] == []


def test_a_model_that_knows_the_limit_by_its_other_name_is_asked_again_with_that(tmp_path: Path) -> None:
    with running("--new-names") as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 1?"])
        assert go(recipe, tmp_path / "run") is None
        found = samples(recipe, tmp_path / "run")
    assert len(found) == 2
    assert not any(row.error for row in found.values())


def test_an_unknown_model_stops_the_run_with_what_to_do_and_its_rows_can_be_asked_again(tmp_path: Path) -> None:
    with running() as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 1? [always: 404]"])
        stop = go(recipe, tmp_path / "run")
        assert stop is not None
        assert stop.error().exit_code == 1
        assert "teacher.model" in str(stop.error())
        assert all(row.transient for row in samples(recipe, tmp_path / "run").values())


@pytest.mark.parametrize(("code", "goes_on"), [("token_limit_exceeded", True), ("invalid_json_line", False)])
def test_a_batch_refused_as_a_whole_waits_for_others_if_too_much_is_queued_else_stops_the_run(
    tmp_path: Path, code: str, goes_on: bool
) -> None:
    with running("--refuse", code, "--delay", 0.1) as server:
        recipe = recipe_of(tmp_path, server, [f"What is {n} + 1?" for n in range(12)])
        stop = go(recipe, tmp_path / "run")
        found = samples(recipe, tmp_path / "run")
        assert len(server.stats()["batches"]) == 2 + goes_on
    assert (stop is None, len(found) == 24) == (goes_on, goes_on)
    if stop:
        assert "This batch cannot be run." in stop.sentence


def test_a_wrong_key_ends_in_one_sentence_without_it(tmp_path: Path) -> None:
    with running("--key", "right") as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 1?"])
        stop = go(recipe, tmp_path / "run", key="sk-wrong-0123456789")
    assert stop is not None
    assert "OPENAI_API_KEY" in str(stop.error())
    assert "sk-wrong" not in str(stop.error())
    assert not [path for path in (tmp_path / "run").rglob("*.json*") if b"sk-wrong" in path.read_bytes()]


def test_a_provider_that_stays_silent_is_given_up_after_the_deadline_and_its_batches_stay_known(
    tmp_path: Path,
) -> None:
    with running("--poll-errors", 1000) as server:
        recipe = recipe_of(tmp_path, server, ["What is 1 + 1?"], deadline_s=0.3)
        with pytest.raises(TeacherError, match=r"teacher\.deadline_s"):
            go(recipe, tmp_path / "run")
        made = server.stats()["batches"]
        patient = recipe_of(tmp_path, server, ["What is 1 + 1?"], deadline_s=0.4)
        with pytest.raises(TeacherError):
            go(patient, tmp_path / "run")
        assert server.stats()["batches"] == made


def test_a_plan_for_batches_says_what_they_cost_and_a_price_is_asked_for(tmp_path: Path) -> None:
    server = Running("http://127.0.0.1:9/v1")
    with open_run(recipe_of(tmp_path, server, ["What is 1 + 1?"]), str(tmp_path / "run")) as run:
        plan(run, 0)
        assert "at most $" in " ".join(sentences(run))
    with pytest.raises(Exception, match=r"teacher\.price is missing: calls of kind batch"):
        recipe_of(tmp_path, server, ["What is 1 + 1?"], price=None)
