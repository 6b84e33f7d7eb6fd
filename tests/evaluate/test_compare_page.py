"""The page of a comparison holds every figure it promises, divides by nothing unknown, and lets nothing in."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.stats import binomtest

from pad_ray.cli_tools import compare as command
from pad_ray.errors import UsageError
from pad_ray.evaluate.compare_page import write_comparison
from pad_ray.evaluate.contest import contest, grouped, grouped_differences, results
from pad_ray.evaluate.cost import Cost, cost_of, parameters, rates
from pad_ray.evaluate.metrics import newcombe, wilson
from pad_ray.records import Problem
from pad_ray.storage import Storage
from tests.evaluate.fabricated_run import write_evaluation

PAID = {"prompt_tokens": 9, "completion_tokens": 90, "usd": 0.5, "unsettled": 0.0, "unsettled_calls": 0, "cached": 0}
PRICED = {"kind": "openai", "price": {"input": 1, "output": 2}}


def write_student(
    root: Path,
    rights: dict[str, list[bool]],
    *,
    seed: int = 0,
    tokens: int | None = 20_000,
    spend: dict[str, Any] = PAID,
    teacher: dict[str, Any] = PRICED,
    **facts: Any,
) -> Path:
    """A finished run of one round, with suites of these answers."""
    storage = Storage(root)
    recipe = {"seed": seed, "refine": {"seed": seed}, "thought": facts.get("thought", "program"), "teacher": teacher}
    storage.write("recipe.yaml", json.dumps(recipe).encode())
    for suite, right in rights.items():
        storage.write_rows(f"problems/eval/{suite}.parquet", Problem, [Problem(f"{suite}/0", "q", "7")])
        write_evaluation(storage, f"round-0/eval/{suite}", suite, right, prompt="zero_shot", **facts)
    training = {"tokens": 900} | ({} if tokens is None else {"tokens_seen": tokens})
    storage.write("round-0/checkpoint/summary.json", json.dumps(training).encode())
    stages = [
        {"round": 0, "stage": "sample", "state": "done", "counts": {"spend": spend}},
        {"round": 0, "stage": "train", "state": "done"},
    ]
    storage.write(
        "manifest.json",
        json.dumps({"format_version": 1, "recipe_hash": "x", "state": "done", "stages": stages}).encode(),
    )
    (root / "round-0/student").mkdir(parents=True)
    weights = {"a": np.zeros((500, 250), np.float16), "b": np.zeros(16, np.float16)}
    save_file(weights, root / "round-0/student/model.safetensors")
    return root


def first(right: int, n: int = 40) -> list[bool]:
    return [number < right for number in range(n)]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Programs with 10 and 8 of 40 right, and chains with 24 and 9, six of 30 by wrong arithmetic."""
    counts = {"right": 33, "calculate": 30, "faulty": 6}
    rights = {"gsm8k-test": first(24), "sums": first(9)}
    return [
        write_student(tmp_path / "programs", {"gsm8k-test": first(10), "sums": first(8)}),
        write_student(tmp_path / "chains", rights, tokens=40_000, thought="chain", arithmetic=counts),
    ]


def test_every_figure_is_in_the_file_for_machines(two: list[Path]) -> None:
    found = results(two)
    programs, chains = found["students"]
    assert (programs["name"], programs["parameters"]) == ("programs", 125_016)
    pooled, gsm, _ = chains["suites"]
    assert (pooled["n"], pooled["correct"], gsm["ci95"]) == (80, 33, list(wilson(24, 40)))
    row = next(one for one in found["differences"] if one["suite"] == "gsm8k-test")
    assert row["p_value"] == pytest.approx(binomtest(14, 14).pvalue) and row["ci95"] == list(newcombe(10, 14, 0, 16))
    low, high = row["bootstrap95"]
    assert 0.15 < low < 14 / 40 < high < 0.55 and row["verdict"] == "better"
    assert chains["per_1000_tokens"] == pytest.approx(33 / 80 / 40) and chains["per_dollar"] == pytest.approx(33 / 40)
    [answers] = chains["answers"]
    assert answers["arithmetic"]["rate"] == 12 / 60 and answers["arithmetic"]["ci95"] == list(wilson(12, 60))
    assert (answers["executable_rate"], answers["tokens"]) == (pytest.approx(33 / 80), 12)
    assert answers["outcomes"] == {"correct": 33, "runtime_error": 47}
    assert programs["answers"][0]["arithmetic"] is None
    # As far from any published size as a student can be: the smallest is the nearest.
    [ours, theirs] = found["published"]
    assert ours["benchmark"] == theirs["benchmark"] == "gsm8k" and min(one["size"] for one in ours["others"]) == 125


def test_the_page_says_what_it_must_and_asks_for_nothing_from_outside(two: list[Path], tmp_path: Path) -> None:
    page, figures = write_comparison(two, tmp_path / "out" / "compare.html")
    assert json.loads(figures.read_text()) == json.loads(json.dumps(results(two)))
    text = page.read_text()
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))
    for said in (
        "chains is better than programs over all suites that both answered",
        "+35.0",
        "McNemar",
        "chains 40,000 1.03",
        "$0.50",
        "12 of 60 (20.0 %)",
        "Figures of others, under other conditions",
        "TinyGSM, 2312.09241, table 1",
        "Exact and rounded",
        "runtime error",
    ):
        assert said in words, said
    assert "src=" not in text and "<script" not in text and "default-src 'none'" in text


def test_votes_are_drawn_and_told_by_k(two: list[Path], tmp_path: Path) -> None:
    chance = {"accuracy": 0.25, "ci95": [0.125, 0.5]}
    rows = [{"k": k, "pass": {**chance, "accuracy": 0.25 + k / 8}, "majority": chance} for k in (1, 2, 4)]
    voting = write_student(tmp_path / "voting", {"sums": first(10)}, at_k=rows)
    page, figures = write_comparison([two[0], voting], tmp_path / "c.html")
    told = json.loads(figures.read_text())["students"]
    assert told[0]["at_k"] == [] and [one["at_k"] for one in told[1]["at_k"]] == [rows]
    for said in ("pass@k", "majority@k", "voting, pass@k", "75.0 %", "12.5 – 50.0", "oracle"):
        assert said in page.read_text(), said
    assert "pass@k" not in write_comparison(two, tmp_path / "d.html")[0].read_text()


def test_names_are_data(two: list[Path], tmp_path: Path) -> None:
    hostile = write_student(tmp_path / "<script>alert(1)", {"sums": first(3)})
    page, _ = write_comparison([two[0], hostile], tmp_path / "c.html")
    assert "<script" not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_several_seeds_are_averaged_question_by_question_and_have_no_single_test(tmp_path: Path) -> None:
    base = write_student(tmp_path / "base", {"sums": first(10)})
    seeds = [write_student(tmp_path / f"s{seed}", {"sums": first(14 + 4 * seed)}, seed=seed) for seed in (0, 1)]
    found = results([base, f"new={seeds[0]},{seeds[1]}"])
    new = found["students"][1]
    assert (new["name"], len(new["runs"]), len(new["costs"]), new["notes"]) == ("new", 2, 2, [])
    [row] = found["differences"]
    assert row["after"] == pytest.approx(16 / 40) and row["difference"] == pytest.approx(6 / 40)
    assert (row["n"], row["p_value"], row["gained"]) == (40, None, 8)
    assert row["ci95"] == row["bootstrap95"]
    assert new["per_1000_tokens"] == pytest.approx(0.4 / 20)
    [difference] = grouped_differences([base, f"new={seeds[0]},{seeds[1]}"])
    assert (difference.before, difference.after, difference.paired.p_value) == ("base", "new", None)


def test_runs_of_one_name_that_differ_in_more_than_the_seed_are_told(tmp_path: Path) -> None:
    one = write_student(tmp_path / "one", {"sums": first(10)})
    two = write_student(tmp_path / "two", {"sums": first(11)}, thought="chain")
    three = write_student(tmp_path / "three", {"sums": first(12)})
    notes = results([three, f"mixed={one},{two}"])["students"][1]["notes"]
    assert notes == ["Its runs differ in more than their seed: thought."]


def test_a_path_with_an_equals_sign_is_still_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert grouped("new=a,b") == ("new", ["a", "b"]) and grouped("s3://bucket/x=1")[0] == ""
    (tmp_path / "lr=1").mkdir()
    assert grouped("lr=1") == ("", ["lr=1"]) and grouped("runs/lr=1")[0] == ""


def test_what_is_unknown_or_nothing_is_said_and_never_divided_by(tmp_path: Path) -> None:
    nothing = PAID | {"usd": 0.0}
    old = write_student(tmp_path / "old", {"sums": first(3)}, tokens=None, spend=nothing, teacher={"path": "t.jsonl"})
    cost = cost_of(Storage(old), 0)
    assert cost.tokens_seen is None and "older version" in cost.tokens_note
    assert cost.usd == 0 and "nothing was paid" in cost.usd_note
    assert rates(0.5, [cost]) == {"per_1000_tokens": None, "per_dollar": None}
    free = write_student(
        tmp_path / "free",
        {"sums": first(3)},
        spend=nothing | {"unsettled": 0.25, "cached": 7},
        teacher={"kind": "openai", "price": "unknown_ok"},
    )
    cost = cost_of(Storage(free), 0)
    assert (
        cost.usd is None and "no price" in cost.usd_note and "$0.25" in cost.usd_note and "7 replies" in cost.usd_note
    )
    assert rates(0.5, [cost])["per_1000_tokens"] == pytest.approx(0.5 / 20)
    known = Cost(10_000, "", 2.0, "")
    assert rates(0.5, [known, cost])["per_dollar"] is None, "an unknown bill is not a free one"
    alone = cost_of(Storage(tmp_path), None)
    assert (alone.tokens_seen, alone.usd) == (None, None) and parameters(Storage(tmp_path / "nowhere")) is None
    page, _ = write_comparison([old, free], tmp_path / "c.html")
    assert "older version" in page.read_text() and "no price" in page.read_text()


def test_a_run_alone_is_taken_apart(finished_run: Path, tmp_path: Path) -> None:
    students, pairs = contest([finished_run])
    assert [one.name for one in students] == ["untrained, programs after 4 examples", "round 0", "round 1"]
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    page, figures = write_comparison([finished_run], tmp_path / "c.html")
    assert "evil.example" not in page.read_text()
    costs = [one["costs"][0] for one in json.loads(figures.read_text())["students"]]
    assert costs[0]["tokens_note"] == "not trained" and costs[2]["tokens_seen"] is None


def test_a_page_that_cannot_be_made_says_why(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.txt is not a \.html file"):
        write_comparison(two, tmp_path / "out.txt")
    other = write_student(tmp_path / "other", {"elsewhere": first(3)})
    with pytest.raises(UsageError, match="other shares no problem with programs"):
        write_comparison([other, two[0]], tmp_path / "c.html")
    with pytest.raises(UsageError, match="alone holds no two evaluations"):
        write_comparison([other], tmp_path / "c.html")
    with pytest.raises(UsageError, match="'both' is compared with nothing"):
        write_comparison([f"both={two[0]},{two[1]}"], tmp_path / "c.html")
    with pytest.raises(UsageError, match="'none' has no runs"):
        grouped_differences([two[0], "none=,"])
    assert not (tmp_path / "c.html").exists()


def test_one_evaluation_is_matched_by_its_questions_whatever_its_folder_is_called(tmp_path: Path) -> None:
    for name, right in (("one", 3), ("two", 9)):
        write_evaluation(Storage(tmp_path / name), ".", "easy", first(right))
    found = results([tmp_path / "one" / "summary.json", tmp_path / "two"])
    assert [one["name"] for one in found["students"]] == ["one", "two"]
    assert [(row["suite"], row["gained"]) for row in found["differences"]] == [("one", 6)]


def test_a_suite_that_is_called_like_another_one_elsewhere_is_matched_by_its_questions(tmp_path: Path) -> None:
    one = write_student(tmp_path / "one", {"a": first(3), "b": first(5)})
    two = write_student(tmp_path / "two", {"b": first(1)})
    write_evaluation(Storage(two), "round-0/eval/b", "a", first(9), prompt="zero_shot")
    assert [(row["suite"], row["gained"]) for row in results([one, two])["differences"]] == [("a", 6)]


def test_what_solutions_of_the_problems_cost_and_two_parts_weigh(tmp_path: Path) -> None:
    run = write_student(
        tmp_path / "run", {"sums": first(3)}, spend=PAID | {"usd": 0.0, "cached": 9}, teacher={"kind": "worked"}
    )
    assert cost_of(Storage(run), 0).usd_note == "written from the problems' own solutions, nobody was asked"
    alone = parameters(Storage(run))
    (run / "round-0/student/decomposer").mkdir()
    shutil.copy(run / "round-0/student/model.safetensors", run / "round-0/student/decomposer")
    assert alone and parameters(Storage(run)) == 2 * alone
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"][1]["counts"] = {"skipped": "nothing new"}
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert cost_of(Storage(run), 0).tokens_seen is None, "a training that was thrown away"


def test_the_command_prints_as_before_and_writes_only_when_told(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command([str(one) for one in two])
    plain = capsys.readouterr().out
    assert "better" in plain and not list(tmp_path.glob("*.html"))
    command([str(one) for one in two], out="c.html")
    assert capsys.readouterr().out.startswith(plain) and (tmp_path / "c.html").exists()
    command([str(two[0]), f"both={two[0]},{two[1]}"])
    assert "both" in capsys.readouterr().out
