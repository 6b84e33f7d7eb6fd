"""The flow on a real Ray: what is asked, who works, what a resume does again (nothing)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.errors import PadRayError, RecipeError, UsageError
from pad_ray.flow.curating import curate
from pad_ray.flow.journal import JournalWriter
from pad_ray.flow.plan import plan, shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.flow.training import train_round
from pad_ray.one_sample import show
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Request, Sample, Verdict
from pad_ray.refine.rounds import evaluate_round
from pad_ray.run import open_run
from pad_ray.status import status
from pad_ray.storage import Storage

pytestmark = pytest.mark.usefixtures("ray_session")

REPLIES = {
    "right": "```python\ndef solution():\n    result = {n} + 1\n    return result\n```",
    # Slow enough that one judge is still busy when the next rows arrive.
    "wrong": "def solution():\n    for _ in range(5_000_000):\n        pass\n    return {n} - 1",
    "broken": "```python\ndef solution(:\n    return 1\n```",
    "missing": "def solution():\n    return total + 1",
    "prose": "The answer is surely large.",
    "files": "def solution():\n    return open('/etc/passwd').read()",
}
OUTCOMES = dict(
    zip(REPLIES, ["correct", "wrong_answer", "syntax_error", "runtime_error", "refused", "forbidden"], strict=True)
)


def quiet() -> Reporter:
    return Reporter(Console(quiet=True))


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """24 problems, two replies each, every kind of reply equally often."""
    problems = [{"id": f"p{n}", "question": f"{n} + 1?", "answer": n + 1, "source": "ab"[n % 2]} for n in range(24)]
    kinds = list(REPLIES)
    replies = [
        {"problem_id": f"p{n}", "text": REPLIES[kinds[(n + k) % len(kinds)]].format(n=n)}
        for n in range(24)
        for k in (0, 1)
    ]
    for name, rows in (("problems", problems), ("replies", replies)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return parse_recipe(
        {
            "name": "t",
            "problems": {"train": str(tmp_path / "problems.jsonl")},
            "teacher": {"kind": "recorded", "path": str(tmp_path / "replies.jsonl")},
            "sandbox": {"timeout_s": 20},
            "student": {"model": "none"},
        }
    )


def sample_stage(recipe: Recipe, folder: Path, **stages: bool) -> dict[str, Any]:
    with open_run(recipe, str(folder)) as run:
        plan(run, 0)
        sample_and_judge(run, 0, quiet(), **stages)
    return status(folder)


def rows(folder: Path, noun: str, kind: type[Any]) -> list[Any]:
    return list(Storage(folder).scan_rows(f"round-0/{noun}", kind))


def test_one_stream_samples_judges_and_shares_the_work(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = sample_stage(recipe, run)
    assert found["outcomes"] == dict.fromkeys(OUTCOMES.values(), 8)
    samples, verdicts = rows(run, "samples", Sample), rows(run, "verdicts", Verdict)
    planned = [request.sample_id for request in rows(run, "requests", Request)]
    assert len(planned) == len(set(planned)) == 48
    assert [row.sample_id for row in samples] == [row.sample_id for row in verdicts] == planned
    assert len({row.worker for row in samples}) >= 2
    assert len({row.worker for row in verdicts}) >= 2
    assert {row.sandbox for row in verdicts} == set(found["facts"]["sandbox"]) == {"strict"}
    (layers,) = found["facts"]["sandbox_layers"]
    assert all(f"{name} active" in layers for name in ("process", "limits", "seccomp", "language"))
    # Again: nothing is asked, nothing is judged.
    again = {stage["stage"]: (stage["new"], stage["reused"]) for stage in sample_stage(recipe, run)["stages"]}
    assert again == {"plan": (0, 48), "sample": (0, 48), "judge": (0, 48)}

    with open_run(recipe, str(run)) as held:
        curate(held, 0, quiet())
    summary = json.loads((run / "round-0/examples/summary.json").read_text())
    dropped = {outcome: 8 for outcome in OUTCOMES.values() if outcome != "correct"}
    assert summary["kept"] + sum(summary["dropped"].values()) == 48
    assert {reason: summary["dropped"][reason] for reason in dropped} == dropped
    examples = rows(run, "examples", Example)
    assert len(examples) == summary["kept"] == 8
    assert all(example.prompt.startswith("Question: ") and "result = " in example.completion for example in examples)
    assert summary["by_source"]["a"]["asked"] == 24

    whole = show(run, examples[0].example_id)
    assert whole.verdict and whole.verdict.outcome is Outcome.CORRECT
    assert whole.examples == examples[:1]


def test_sampling_and_judging_can_be_two_calls_and_finished_rows_are_not_asked_again(
    recipe: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with open_run(recipe, str(run)) as held:
        plan(held, 0)
        first = shards(held, 0)[0]
        paid = first.requests()[0]
        # A reply that an earlier, killed process had journaled: it differs from the recording, so a repeat would show.
        JournalWriter(held.storage, 0, "samples", "killed").append(
            first.number, Sample(paid.sample_id, "def solution():\n    return 'paid for'", worker="killed")
        )
    found = sample_stage(recipe, run, judge=False)
    assert [(stage["stage"], stage["new"], stage["reused"]) for stage in found["stages"]][1:] == [("sample", 47, 1)]
    found = sample_stage(recipe, run, sample=False)
    assert [stage["stage"] for stage in found["stages"]] == ["plan", "sample", "judge"]
    texts = {row.sample_id: row for row in rows(run, "samples", Sample)}
    assert texts[paid.sample_id].worker == "killed"
    verdict = next(row for row in rows(run, "verdicts", Verdict) if row.sample_id == paid.sample_id)
    assert verdict.value == "paid for"


def test_judging_before_sampling_says_what_is_missing(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no finished stage 'sample'"):
        sample_stage(recipe, tmp_path / "run", sample=False)


def test_a_stage_called_too_early_is_refused_and_leaves_no_mark(recipe: Recipe, tmp_path: Path) -> None:
    for early in (train_round, curate, evaluate_round):
        with pytest.raises(UsageError, match="comes first"), open_run(recipe, str(tmp_path / "run")) as run:
            early(run, 0, quiet())
    with pytest.raises(UsageError, match="comes first"), open_run(recipe, str(tmp_path / "run")) as run:
        plan(run, 1)
    assert status(tmp_path / "run")["stages"] == []


def test_an_error_inside_an_actor_arrives_as_our_own_sentence(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(PadRayError) as caught, open_run(recipe, str(tmp_path / "run")) as run:
        plan(run, 0)
        (tmp_path / "replies.jsonl").unlink()
        sample_and_judge(run, 0, quiet())
    assert "there is no file" in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert status(tmp_path / "run")["state"] == "failed"


def test_more_samples_than_recorded_are_rows_with_an_error(recipe: Recipe, tmp_path: Path) -> None:
    more = parse_recipe({**recipe.model_dump(), "teacher": {**recipe.teacher.model_dump(), "samples": 3}})
    found = sample_stage(more, tmp_path / "run")
    assert found["outcomes"]["teacher_error"] == 24
    assert sum(found["outcomes"].values()) == 72


def test_a_recording_of_other_problems_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "replies.jsonl").write_text('{"problem_id": "elsewhere", "text": "x"}\n')
    with pytest.raises(RecipeError, match="no reply to any"), open_run(recipe, str(tmp_path / "run")) as run:
        plan(run, 0)
