"""New problems through the whole flow on a real Ray: made, cleaned, asked about, labelled, taught, and asked once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import BudgetReached, RecipeError
from pad_ray.flow import augmenting
from pad_ray.flow.augmenting import augment
from pad_ray.flow.curating import curate
from pad_ray.flow.labelling import independent
from pad_ray.flow.plan import plan, sentences
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.one_sample import show
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Message, Problem, Request, Sample, Verdict
from pad_ray.run import Run, open_run
from pad_ray.status import status
from pad_ray.storage import Storage
from pad_ray.thoughts.rewriting import made_by
from tests.fault_server import running

PRICE = {"input": 100.0, "output": 200.0}
KINDS = ["rephrase", "change_numbers", "harder"]


def recipe(folder: Path, url: str, question: str = "What is 0 + 1?", **keys: Any) -> Recipe:
    """Twenty problems; `question` is that of the first one."""
    rows = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(20)]
    rows[0]["question"] = question
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    # What the numbers of p4 become is an evaluation question.
    (folder / "eval.jsonl").write_text(json.dumps({"id": "e", "question": "What is 104 + 101?", "answer": 205}) + "\n")
    teacher = {"kind": "openai", "model": "m", "base_url": url, "samples": 2, "price": PRICE, "max_tokens": 64}
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": str(folder / "problems.jsonl"), "eval": {"suite": str(folder / "eval.jsonl")}},
            "teacher": teacher | keys,
            "augment": {"kinds": KINDS, "votes": 4, "agree": 3},
            "student": {"model": "none"},
            "seed": 5,
        }
    )


def go(asked: Recipe, folder: Path) -> dict[str, Any]:
    with open_run(asked, str(folder)) as run:
        _go(run)
    return status(folder)


def _go(run: Run) -> None:
    reporter = Reporter(Console(quiet=True))
    plan(run, 0)
    augment(run, reporter)
    sample_and_judge(run, 0, reporter)
    curate(run, 0, reporter)


def rows(folder: Path, noun: str, kind: type[Any]) -> list[Any]:
    return list(Storage(folder).scan_rows(noun, kind))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_new_problems_are_labelled_by_agreement_and_an_interrupted_or_stopped_run_pays_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    with running("--right", 0.8, "--seed", 4) as server:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(augmenting, "_expand", interrupted)
            go(recipe(tmp_path, server.url), folder)
        spent = status(folder)["spend"]["usd"]
        assert server.stats()["calls"] == 60
        with pytest.raises(BudgetReached):
            go(recipe(tmp_path, server.url, budget_usd=spent + 0.3), folder)
        assert status(folder)["spend"]["usd"] <= spent + 0.3
        found = go(recipe(tmp_path, server.url), folder)
        counted = server.stats()

    made = {problem.problem_id: problem for problem in rows(folder, "problems/train", Problem)}
    parents = {id_: problem for id_, problem in made.items() if made_by(id_) is None}
    assert len(parents) == 20
    new = {id_: problem for id_, problem in made.items() if id_ not in parents}
    requests = rows(folder, "round-0/requests", Request)
    verdicts = {verdict.sample_id: verdict for verdict in rows(folder, "round-0/verdicts", Verdict)}
    votes = defaultdict[str, list[Verdict]](list)
    for request in requests:
        votes[request.problem_id].append(verdicts[request.sample_id])

    # One row per sample, nothing paid twice, the ledger equals the server's count, with the rewriting in it.
    samples = rows(folder, "round-0/samples", Sample) + rows(folder, "augment/samples", Sample)
    assert len(samples) == len({sample.sample_id for sample in samples}) == counted["calls"]
    assert counted["good_again"] == 0
    assert found["spend"]["prompt_tokens"] == counted["prompt_tokens"]
    assert found["spend"]["completion_tokens"] == counted["completion_tokens"]

    # Counted by kind, with what fell away.
    counts = found["augmented"]
    assert {kind: count["asked"] for kind, count in counts.items()} == dict.fromkeys(KINDS, 20)
    assert sum(found["outcomes"].values()) == 40  # votes say nothing of how often the teacher is right
    assert all(count["unchanged"] == 4 for count in counts.values())
    assert counts["change_numbers"]["in_evaluation"] == 1
    kept = Counter(made_by(id_) for id_ in new)
    assert sum(kept.values()) == sum(count["kept"] for count in counts.values()) == 16 + 15 + 16

    # The answer is what three of the four programs give, whatever any of them gives alone.
    for id_, problem in new.items():
        assert len(votes[id_]) == 4
        values = Counter(verdict.value for verdict in votes[id_])
        best, many = values.most_common(1)[0]
        parent, kind = made_by(id_) or ("", "")
        right = many >= 3 and (kind != "rephrase" or best == parents[parent].answer)
        assert problem.answer == (best if right else "")
        for verdict in votes[id_]:
            judged = Outcome.CORRECT if verdict.value == best else Outcome.WRONG_ANSWER
            assert verdict.outcome is (judged if right else Outcome.OK)
    labelled = {id_ for id_, problem in new.items() if problem.answer}
    assert len(labelled) == sum(count["labelled"] for count in counts.values())
    assert 20 < len(labelled) < len(new)

    # Only those are taught, under their own source.
    taught = {example.problem_id: example.source for example in rows(folder, "round-0/examples", Example)}
    assert labelled <= taught.keys() <= labelled | parents.keys()
    assert {taught[id_] for id_ in labelled} == {f"problems~{kind}" for kind in KINDS}
    one = min(labelled)
    assert f"agree on {new[one].answer}" in show(folder, f"{one}#rewrite.r0.k0").fate
    assert "gives an evaluation question away" in show(folder, "p4~change_numbers0#rewrite.r0.k0").fate


def test_what_new_problems_may_cost_is_told_before_the_first_call(tmp_path: Path) -> None:
    with open_run(recipe(tmp_path, "http://127.0.0.1:9"), str(tmp_path / "run")) as run:
        plan(run, 0)
        said = " ".join(sentences(run))
    assert "new problems and their solutions take up to 300 requests more, about " in said
    assert "with the new problems, at most $" in said


def test_greedy_replies_to_the_same_prompt_are_one_vote() -> None:
    def asked(k: int, temperature: float, text: str) -> Request:
        return Request(f"p#program.r0.k{k}", "p", k, (Message("user", text),), "m", temperature, 64, k)

    requests = [asked(0, 0.0, "a"), asked(1, 0.7, "a"), asked(2, 0.0, "a"), asked(3, 0.7, "a"), asked(4, 0.0, "b")]
    verdicts = {one.sample_id: Verdict(one.sample_id, "", Outcome.OK, "7") for one in requests}
    verdicts["p#program.r0.k3"] = Verdict("p#program.r0.k3", "", Outcome.RUNTIME_ERROR)
    assert [one.k for one in independent(requests, verdicts)] == [0, 1, 4]


def test_a_training_problem_that_is_called_like_a_new_one_is_refused(tmp_path: Path) -> None:
    asked = recipe(tmp_path, "http://127.0.0.1:9")
    with (tmp_path / "problems.jsonl").open("a") as file:
        file.write(json.dumps({"id": "p1~harder0", "question": "What is 1 + 1 + 1?", "answer": 3}) + "\n")
    with pytest.raises(RecipeError, match="'p1~harder0'"), open_run(asked, str(tmp_path / "run")) as run:
        plan(run, 0)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("ray_session")
def test_rewriting_that_failed_for_a_passing_reason_is_asked_again_and_what_was_made_before_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with running("--seed", 4) as server:
        # The calls about p0 fail so often that they are given up for this time.
        question = f"What is 0 + 1? [faults: {', '.join(['500'] * 8)}]"
        with open_run(recipe(tmp_path, server.url, question, deadline_s=4), str(folder)) as run:
            plan(run, 0)
            augment(run, Reporter(Console(quiet=True)))
            sample_and_judge(run, 0, Reporter(Console(quiet=True)))
        first = {problem.problem_id: problem for problem in rows(folder, "problems/train", Problem)}
        missing = status(folder)["augmented"]["rephrase"]["no_reply"]
        spent, billed = status(folder)["spend"]["usd"], server.stats()["billed"]
        # As a process that was killed while it sampled leaves it: what that spent is only in the rows.
        manifest = json.loads((folder / "manifest.json").read_text())
        for stage in manifest["stages"]:
            stage["counts"].pop("spend" if stage["stage"] == "sample" else "", None)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BudgetReached):
            go(recipe(tmp_path, server.url, question, budget_usd=spent + 0.001), folder)
        assert server.stats()["billed"] == billed
        found = go(recipe(tmp_path, server.url, question), folder)
        counted = server.stats()
    later = {problem.problem_id: problem for problem in rows(folder, "problems/train", Problem)}
    assert missing == 1
    assert {id_: problem.question for id_, problem in first.items()}.items() <= {
        id_: problem.question for id_, problem in later.items()
    }.items()
    assert len(later) > len(first)
    assert counted["good_again"] == 0
    assert found["spend"]["prompt_tokens"] == counted["prompt_tokens"]
    samples = rows(folder, "round-0/samples", Sample)
    assert [one.sample_id for one in samples] == [one.sample_id for one in rows(folder, "round-0/requests", Request)]


def test_new_problems_are_off_unless_asked_for_and_refused_where_nobody_could_make_or_solve_them(
    tmp_path: Path,
) -> None:
    assert parse_recipe({"name": "t", "problems": {"train": "x"}, "student": {"model": "m"}}).augment.kinds == []
    with pytest.raises(RecipeError, match="temperature 0"):
        recipe(tmp_path, "http://127.0.0.1:9", temperature=0)
    with pytest.raises(RecipeError, match="kind recorded cannot rewrite"):
        recipe(tmp_path, "", kind="recorded")
