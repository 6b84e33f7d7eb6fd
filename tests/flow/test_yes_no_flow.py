"""Questions answered by yes or no go the whole way of a run, with their facts, beside a probe of other tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.evaluate.compare import forgotten
from pad_ray.flow.progress import Reporter
from pad_ray.flow.students import bring_base_student
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example, Problem, Verdict
from pad_ray.refine.rounds import distill
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.thoughts import direct, program
from tests.tiny_student import make_tiny_student

TRAIN = [
    ("mule", "Could a mule fly?", False, ["Mules have no wings."]),
    ("ice", "Is an ice cube solid?", True, ["Ice is frozen.", "What is frozen is solid."]),
    ("boat", "Would a stone boat float?", False, ["Stone is heavier than water."]),
    ("cat", "Does a cat have more legs than a duck?", True, ["A cat has 4 legs, a duck 2."]),
    ("moon", "Is the moon made of cheese?", False, []),
]
NO = "def solution():\n    wings = 0\n    return wings > 1\n"
YES = "def solution():\n    cat, duck = (4, 2)\n    return 'yes' if cat > duck else 'no'\n"
REPLIES = {
    "mule": [NO, "def solution():\n    return 'Yes'\n"],  # right, then wrong
    "ice": ["def solution():\n    return 'True.'\n"],  # right: it says the same
    "boat": ["def solution():\n    return 'maybe'\n"],  # neither of the two
    "cat": [YES],
    "moon": ["def solution():\n    return 0\n"],  # a number is no answer to this
}
KNOWN = [("Can a pig fly?", NO), ("Has a dog 3 legs?", YES), ("Is snow cold?", YES)]
UNSEEN = [("Can a pig fly?", False), ("Has a dog 3 legs?", False), ("Is snow cold?", True)]
PROBE = [("not ( True ) is", "False", "False"), ("not ( False ) is", "True", "False"), ("Z?\n(A) a\n(B) z", "(B)", "B")]
"""Question, gold answer, and what the student says."""


def recipe(folder: Path) -> Recipe:
    """A recipe over documents as StrategyQA and BBH are handed around."""
    train = [{"qid": name, "question": said, "answer": gold, "facts": facts} for name, said, gold, facts in TRAIN]
    unseen = [{"qid": said, "question": said, "answer": gold, "facts": []} for said, gold in UNSEEN]
    probe = {"canary": "x", "examples": [{"input": said, "target": gold} for said, gold, _ in PROBE]}
    for name, document in (("train", train), ("unseen", unseen), ("boolean_expressions", probe)):
        (folder / f"{name}.json").write_text(json.dumps(document))
    rows = [{"problem_id": name, "text": text} for name, texts in REPLIES.items() for text in texts]
    (folder / "replies.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tree: dict[str, Any] = {
        "name": "t",
        "problems": {
            "train": f"task://strategyqa?path={folder}/train.json",
            "eval": {"unseen": f"task://strategyqa?path={folder}/unseen.json"},
            "probe": {"general": f"task://bbh?path={folder}/boolean_expressions.json"},
        },
        "teacher": {"kind": "recorded", "path": str(folder / "replies.jsonl")},
        "sandbox": {"timeout_s": 20, "workers": 1},
        "student": {"model": str(folder / "student")},
        "train": {
            "max_steps": 2,
            "lr": 1.0e-6,
            "tokens_per_batch": 512,
            "max_length": 512,
            "curriculum": {"stages": 2, "exemplars": 0},  # what reads the facts
        },
        "refine": {"rounds": 0},
        "decode": {"max_tokens": 90},
        "evaluate": {"baselines": ["direct"]},
    }
    return parse_recipe(tree)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_yes_and_no_are_judged_taught_and_measured_beside_a_probe(tmp_path: Path) -> None:
    known = [(program.student_prompt(said), text) for said, text in KNOWN]
    known += [(direct.plain_prompt(said), said_) for said, _, said_ in PROBE]
    make_tiny_student(tmp_path / "student", known, context=1024)
    folder = tmp_path / "run"
    with open_run(recipe(tmp_path), str(folder)) as run:
        bring_base_student(run, print)
        distill(run, Reporter(Console(quiet=True)))
    storage = Storage(folder)
    problems = {one.problem_id: one for one in storage.scan_rows("problems/train", Problem)}
    assert problems["mule"].answer == "no" and problems["ice"].facts == ("Ice is frozen.", "What is frozen is solid.")
    verdicts = {one.sample_id: one.outcome.value for one in storage.scan_rows("round-0/verdicts", Verdict)}
    told = {name.replace("#program.r0.k", " "): outcome for name, outcome in verdicts.items()}
    right = {"mule 0", "ice 0", "cat 0"}
    assert {name for name, outcome in told.items() if outcome == "correct"} == right
    assert told["mule 1"] == "wrong_answer" and len(told) == 6
    examples = {one.problem_id: one for one in storage.scan_rows("round-0/examples", Example)}
    assert set(examples) == {"mule", "ice", "cat"} and examples["mule"].facts == ("Mules have no wings.",)
    # Two of three programs of the student give the right word; False counts as no.
    after = json.loads((folder / "round-0/eval/unseen/summary.json").read_text())
    assert (after["n"], after["correct"], after["executable_rate"]) == (3, 2, 1)
    answers = [json.loads(line) for line in (folder / "round-0/eval/unseen/answers.jsonl").read_text().splitlines()]
    assert [(one["gold"], one["outcome"]) for one in answers] == [
        ("no", "correct"),
        ("no", "wrong_answer"),
        ("yes", "correct"),
    ]
    # And nothing of what it knew otherwise is forgotten: asked alike, before and after.
    for where in ("base", "round-0"):
        found = json.loads((folder / where / "probe/general/direct/summary.json").read_text())
        assert (found["n"], found["correct"]) == (3, 2)
    [difference] = forgotten(storage)
    assert (difference.suite, difference.paired.n, difference.paired.difference) == ("general", 3, 0)
