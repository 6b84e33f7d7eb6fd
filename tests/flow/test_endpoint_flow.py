"""A paid teacher through the whole flow, on a real Ray, against an endpoint that fails on purpose and counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import BudgetReached, RecipeError, TeacherError
from pad_ray.flow.plan import plan, sentences
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Request, Sample, Verdict
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from tests.fault_plan import FAULTS
from tests.fault_server import Running, running

pytestmark = pytest.mark.usefixtures("ray_session")

PRICE = {"input": 100.0, "output": 200.0, "cached": 50.0}
"""A hundred times a usual one, so that a small run costs some dollars."""

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe(tmp_path: Path) -> MakeRecipe:
    def make(server: Running, problems: int, **teacher: Any) -> Recipe:
        rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(problems)]
        (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        asked = {
            "kind": "openai",
            "base_url": server.url,
            "model": "m",
            "samples": 3,
            "price": PRICE,
            "concurrency": 32,
            "max_tokens": 64,
            "timeout_s": 60,
        }
        return parse_recipe(
            {
                "name": "t",
                "problems": {"train": str(tmp_path / "problems.jsonl")},
                "teacher": {**asked, **teacher},
                "student": {"model": "none"},
                "seed": 5,
            }
        )

    return make


def go(recipe: Recipe, folder: Path, **stages: bool) -> dict[str, Any]:
    with open_run(recipe, str(folder)) as run:
        plan(run, 0)
        sample_and_judge(run, 0, Reporter(Console(quiet=True)), **stages)
    return status(folder)


def rows(folder: Path, noun: str, kind: type[Any]) -> list[Any]:
    return list(Storage(folder).scan_rows(f"round-0/{noun}", kind))


@pytest.mark.slow
def test_a_run_with_every_third_call_failing_ends_complete_and_its_ledger_is_the_servers_own_count(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    # Without calls that hang: what is fast enough for them to be given up depends on the machine.
    kinds = [kind for kind in FAULTS if kind != "slow"]
    with running("--faults", 0.3, "--kinds", *kinds, "--seed", 3, "--latency", 0.01) as server:
        found = go(make_recipe(server, 50), folder)
        counted = server.stats()
    planned = [request.sample_id for request in rows(folder, "requests", Request)]
    samples = rows(folder, "samples", Sample)
    assert [row.sample_id for row in samples] == [row.sample_id for row in rows(folder, "verdicts", Verdict)] == planned
    assert len(planned) == len(set(planned)) == 150
    assert not any(row.error for row in samples)
    assert counted["good_again"] == 0
    assert sum(row.attempts for row in samples) > 170
    spend = found["spend"]
    assert (spend["prompt_tokens"], spend["completion_tokens"]) == (
        counted["prompt_tokens"],
        counted["completion_tokens"],
    )
    fresh = counted["prompt_tokens"] - counted["cached_tokens"]
    billed = fresh * PRICE["input"] + counted["cached_tokens"] * PRICE["cached"] + counted["completion_tokens"] * 200
    assert spend["usd"] == pytest.approx(billed / 1e6)
    assert spend["unsettled_calls"] == sum(row.unsettled_usd > 0 for row in samples) > 0
    assert found["outcomes"]["correct"] + found["outcomes"]["wrong_answer"] == 150


def test_the_cap_is_never_exceeded_and_a_run_goes_on_when_it_is_raised(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running("--seed", 1, "--latency", 0.01) as server:
        with pytest.raises(BudgetReached, match=r"teacher\.budget_usd"):
            go(make_recipe(server, 40, budget_usd=0.4), folder, judge=False)
        found = status(folder)
        assert found["state"] == "stopped"
        assert found["spend"]["usd"] <= 0.4
        kept = {row.sample_id for row in rows(folder, "samples", Sample)}
        assert 0 < len(kept) < 120
        # To the last call: what is left would not cover another one's worst case.
        assert found["spend"]["usd"] > 0.4 - 0.12
        # Again at the same cap: nothing can start, nothing is lost.
        with pytest.raises(BudgetReached):
            go(make_recipe(server, 40, budget_usd=0.4), folder, judge=False)
        assert {row.sample_id for row in rows(folder, "samples", Sample)} == kept
        found = go(make_recipe(server, 40, budget_usd=50), folder, judge=False)
        counted = server.stats()
    assert counted["good_again"] == 0
    assert found["spend"]["prompt_tokens"] == counted["prompt_tokens"]
    stage = next(stage for stage in found["stages"] if stage["stage"] == "sample")
    assert (stage["new"], stage["reused"]) == (120 - len(kept), len(kept))


def test_a_wrong_key_ends_the_run_with_one_sentence_and_the_key_is_nowhere(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789")
    folder = tmp_path / "run"
    with running("--key", "right") as server, pytest.raises(TeacherError) as caught:
        go(make_recipe(server, 10), folder, judge=False)
    assert "OPENAI_API_KEY" in str(caught.value)
    assert caught.value.exit_code == 1
    assert status(folder)["state"] == "failed"
    written = [path for path in folder.rglob("*") if path.is_file() and b"sk-wrong" in path.read_bytes()]
    assert not written
    assert "sk-wrong" not in str(caught.value)


def test_a_plan_says_what_it_will_cost_before_anything_is_asked(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    server = Running("http://127.0.0.1:9/v1")
    recipe = make_recipe(server, 10, budget_usd=0.01)
    with open_run(recipe, str(tmp_path / "run")) as run:
        plan(run, 0)
        said = " ".join(sentences(run))
    assert "completion tokens" in said
    assert "at most $" in said
    assert "teacher.budget_usd $0.01 is expected to stop the run" in said


def test_a_token_limit_that_no_call_can_keep_is_refused(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe(Running("http://127.0.0.1:9/v1"), 10, tokens_per_minute=60)
    with pytest.raises(RecipeError, match="less than a single call may take"):
        go(recipe, tmp_path / "run")
