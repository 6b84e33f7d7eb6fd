"""A small finished run, written file by file as the stages write it, with text in it that means harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pad_ray.evaluate.folder import write_answers
from pad_ray.evaluate.metrics import GradedAnswer, summarise
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Problem, Verdict, sample_id
from pad_ray.storage import Storage

HOSTILE = (
    "def solution():\n    return '</pre><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>'\n"
)
PLAIN = "def solution():\n    return 3 + 4\n"


def write_evaluation(storage: Storage, folder: str, suite: str, right: list[bool], **facts: Any) -> None:
    """Answers to problems 0, 1, … of a suite, right or not as told; `facts` go into summary.json."""
    answers = [
        GradedAnswer(
            problem_id=f"{suite}/{number}",
            question=f"{suite} question {number} <b>bold</b>",
            gold="7",
            answer="7" if correct else None,
            outcome=Outcome.CORRECT if correct else Outcome.RUNTIME_ERROR,
            detail="" if correct else "NameError: \ud800 <i>x</i> is not defined",
            program=PLAIN if correct else HOSTILE,
            tokens=12,
            source="sums",
        )
        for number, correct in enumerate(right)
    ]
    write_answers(storage, folder, answers)
    facts = {
        "decode": "greedy",
        "student": "s",
        "problems": suite,
        "seed": 3,
        "max_tokens": 64,
        "match": "exact",
        **facts,
    }
    summary = summarise(answers, seconds=2.0, **facts)
    storage.write(f"{folder}/summary.json", json.dumps(summary).encode())


def write_round(storage: Storage, number: int, outcomes: list[Outcome]) -> None:
    """Verdicts, curation counts and losses of one round; problem i belongs to source `sums` or `barren`."""
    verdicts = [
        Verdict(
            sample_id(f"train/{i}", "program", number, 0),
            PLAIN if outcome is Outcome.CORRECT else HOSTILE,
            outcome,
            "7" if outcome.executable else "",
            "" if outcome.executable else f"because of {outcome.value}",
            sandbox="strict",
        )
        for i, outcome in enumerate(outcomes)
    ]
    storage.write_rows(f"round-{number}/verdicts/part-0.parquet", Verdict, verdicts)
    correct = outcomes.count(Outcome.CORRECT)
    repairs = 3 if number else 0
    kept = correct - 1 + repairs
    curation = {
        "kept": kept,
        "dropped": {"duplicate_program": 1, "wrong_answer": outcomes.count(Outcome.WRONG_ANSWER)},
        "by_source": {
            "sums": {"asked": len(outcomes) - 2, "correct": correct, "kept": kept, "repairs": repairs},
            "barren": {"asked": 2, "correct": 0, "kept": 0, "repairs": 0},
        },
        "by_task": {"solve": kept - repairs, "repair": repairs},
        "by_origin": {"student" if number else "teacher": kept},
    }
    storage.write(f"round-{number}/examples/summary.json", json.dumps(curation).encode())
    losses = [{"step": i, "steps": 9, "loss": 2 / i, "lr": 1e-3, "tokens": 50 * i, "seconds": 1.5 * i} for i in (1, 9)]
    storage.write(
        f"round-{number}/checkpoint/metrics.jsonl", "".join(json.dumps(line) + "\n" for line in losses).encode()
    )
    training = {"examples": kept + number, "dropped_too_long": 1, "steps": 9, "tokens": 450, "seconds": 13.5}
    storage.write(f"round-{number}/checkpoint/summary.json", json.dumps(training).encode())
    storage.write(f"round-{number}/student/config.json", b"{}")


def stage(name: str, counts: dict[str, object]) -> dict[str, object]:
    """A finished stage of round 0, as the manifest holds it."""
    return {"round": 0, "stage": name, "state": "done", "new": 8, "reused": 0, "seconds": 3, "counts": counts}


def write_run(root: Path) -> Path:
    """A run of two rounds on one suite: untrained 0, 0 and 1 of 6 right, then 2, then 4."""
    storage = Storage(root)
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "seed": 3,
            "problems": {"train": "train.jsonl", "eval": {"sum.u-1": "eval.jsonl"}},
            "teacher": {"path": "teacher.jsonl", "model": "big-<teacher>"},
            "student": {"model": "models/tiny"},
        }
    )
    storage.write("recipe.yaml", recipe.to_yaml().encode())
    problems = [Problem(f"train/{i}", f"Train question {i} & more?", "7", source="sums") for i in range(8)]
    storage.write_rows("problems/train/part-0.parquet", Problem, problems)
    suite = "sum.u-1"
    storage.write_rows(f"problems/eval/{suite}.parquet", Problem, [Problem(f"{suite}/0", "q", "7")])
    base = f"base/eval/{suite}"
    write_evaluation(storage, f"{base}/direct", suite, [False] * 6, prompt="direct")
    write_evaluation(storage, f"{base}/zero_shot", suite, [False] * 6, prompt="zero_shot")
    exemplars = [f"train/{i}" for i in range(4)]
    write_evaluation(storage, f"{base}/few_shot", suite, [True, *[False] * 5], prompt="few_shot", exemplars=exemplars)
    write_evaluation(storage, f"round-0/eval/{suite}", suite, [True, True, False, False, False, False])
    write_evaluation(storage, f"round-1/eval/{suite}", suite, [True, True, True, True, False, False])
    first = [Outcome.CORRECT] * 4 + [Outcome.WRONG_ANSWER, Outcome.TIMEOUT, Outcome.SYNTAX_ERROR, Outcome.REFUSED]
    write_round(storage, 0, first)
    write_round(storage, 1, [Outcome.CORRECT] * 2 + [Outcome.WRONG_ANSWER] * 6)
    plan = {
        "problems": 8,
        "dropped": {"in_evaluation": 2},
        "overlap": 3,
        "suites": {suite: {"problems": 6, "dropped": {"duplicate": 1}}},
    }
    manifest = {
        "format_version": 1,
        "run_id": "abc",
        "recipe_hash": recipe.hash(),
        "version": "0.1.0",
        "state": "done",
        "error": "",
        "created": "2026-01-01T00:00:00+00:00",
        "updated": "2026-01-01T00:05:00+00:00",
        "stages": [
            stage("calibrate", {"train_tokens_per_s": 104.25, "minutes": 17}) | {"round": -1},
            stage("plan", plan),
            stage("judge", {"by_source": {"sums": {"asked": 6, "correct": 4}, "barren": {"asked": 2, "correct": 0}}}),
        ],
        "facts": {"python": "3.11", "packages": {"ray": "2.60.0"}},
    }
    storage.write("manifest.json", json.dumps(manifest).encode())
    return root
