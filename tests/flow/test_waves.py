"""Asking until correct, and mixtures, through the whole flow on a real Ray."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import BudgetReached
from pad_ray.flow import sampling
from pad_ray.flow.plan import plan, sentences
from pad_ray.flow.progress import Reporter
from pad_ray.flow.waves import Wave, plan_wave
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Request, Sample, Verdict
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from tests.fault_server import running

PRICE = {"input": 100.0, "output": 200.0}


def recipe(folder: Path, problems: int, **teacher: Any) -> Recipe:
    rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(problems)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"kind": "openai", "model": "m", "samples": 2, "price": PRICE, "max_tokens": 64, **teacher}
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": str(folder / "problems.jsonl")},
            "teacher": asked,
            "student": {"model": "none"},
            "seed": 5,
        }
    )


def go(asked: Recipe, folder: Path, **stages: bool) -> dict[str, Any]:
    with open_run(asked, str(folder)) as run:
        plan(run, 0)
        sampling.sample_and_judge(run, 0, Reporter(Console(quiet=True)), **stages)
    return status(folder)


def rows(folder: Path, noun: str, kind: type[Any]) -> list[Any]:
    return list(Storage(folder).scan_rows(f"round-0/{noun}", kind))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_only_unsolved_problems_are_asked_again_and_an_interrupted_or_stopped_run_asks_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def planned_then_interrupted(*args: Any) -> Wave:
        plan_wave(*args)
        raise KeyboardInterrupt

    with running("--right", 0.3, "--seed", 4) as server:
        asked = recipe(tmp_path, 24, base_url=server.url, until_correct=5)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(sampling, "plan_wave", planned_then_interrupted)
            # Sampling alone judges too: without verdicts nobody knows whom to ask again.
            go(asked, folder, judge=False)
        spent = status(folder)["spend"]["usd"]
        assert spent == pytest.approx(sum(row.cost_usd for row in rows(folder, "samples", Sample)))
        assert 48 < len(rows(folder, "requests", Request)) < 96
        # Room for a few calls more: the second wave stops at the cap and is gone on with.
        with pytest.raises(BudgetReached):
            go(recipe(tmp_path, 24, base_url=server.url, until_correct=5, budget_usd=spent + 0.12), folder)
        assert status(folder)["spend"]["usd"] <= spent + 0.12
        found = go(asked, folder)
        counted = server.stats()
    assert found["state"] == "partial"  # training is still to come
    planned, samples = rows(folder, "requests", Request), rows(folder, "samples", Sample)
    verdicts = rows(folder, "verdicts", Verdict)
    ids = [request.sample_id for request in planned]
    assert [row.sample_id for row in samples] == [row.sample_id for row in verdicts] == ids
    assert len(set(ids)) == len(ids) == counted["calls"]
    assert counted["good_again"] == 0
    assert found["spend"]["prompt_tokens"] == counted["prompt_tokens"]
    by_problem = defaultdict[str, list[bool]](list)
    for request, verdict in zip(planned, verdicts, strict=True):
        by_problem[request.problem_id].append(verdict.outcome is Outcome.CORRECT)
    assert {len(tries) for tries in by_problem.values()} == {2, 4, 5}
    for tries in by_problem.values():
        before_last = {2: 0, 4: 2, 5: 4}[len(tries)]
        assert not any(tries[:before_last]), "asked again although it was solved"
        assert any(tries) or len(tries) == 5, "given up before the cap"
    assert {(stage["stage"], stage["new"] + stage["reused"]) for stage in found["stages"]} >= {
        ("sample", len(ids)), ("judge", len(ids))
    }  # fmt: skip


@pytest.mark.usefixtures("ray_session")
def test_each_teacher_of_a_mixture_is_asked_at_its_own_endpoint_for_its_own_price(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running("--models", "big", "--right", 1.0) as one, running("--models", "small", "--right", 0.0) as two:
        mixture = [
            {"weight": 3, "model": "big", "base_url": one.url},
            {"weight": 1, "model": "small", "base_url": two.url, "price": {"input": 10.0, "output": 20.0}},
        ]
        found = go(recipe(tmp_path, 40, model="", mixture=mixture), folder)
        big, small = one.stats(), two.stats()
    planned = Counter(request.model for request in rows(folder, "requests", Request))
    assert planned == {"big": big["calls"], "small": small["calls"]}
    assert planned.total() == 80
    usd = [
        (counted["prompt_tokens"] * price + counted["completion_tokens"] * 2 * price) / 1e6
        for counted, price in ((big, 100.0), (small, 10.0))
    ]
    assert found["spend"]["usd"] == pytest.approx(sum(usd))
    assert found["models"] == {
        "big": {"asked": big["calls"], "correct": big["calls"]},
        "small": {"asked": small["calls"], "wrong_answer": small["calls"]},
    }


def test_a_plan_says_what_asking_again_and_each_teacher_may_cost(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    mixture = [{"model": "big"}, {"model": "small", "price": {"input": 1.0, "output": 1.0}}]
    asked = recipe(tmp_path, 10, model="", base_url=url, mixture=mixture, until_correct=6)
    with open_run(asked, str(tmp_path / "run")) as run:
        plan(run, 0)
        said = sentences(run)
        counts = run.manifest.stages[0].counts
    assert any("up to 40 requests more: at most $" in sentence for sentence in said)
    assert sum(look["requests"] for look in counts["outlook"].values()) == 20
    assert any(sentence.startswith("by the mixture: ") and "small" in sentence for sentence in said)
