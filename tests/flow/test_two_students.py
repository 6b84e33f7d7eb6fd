"""A run with two students: one learns to ask sub-questions, one to answer them; together they are one student."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pad_ray import Reasoner
from pad_ray.decode.loading import load_engine
from pad_ray.decode.parts import InParts
from pad_ray.evaluate.card import write_card
from pad_ray.flow.progress import Bar, Reporter
from pad_ray.flow.students import bring_base_student
from pad_ray.records import Example
from pad_ray.refine.rounds import distill
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.thoughts import socratic
from tests.flow.test_forms_flow import ASKED, KNOWN, recipe
from tests.tiny_student import make_tiny_student


class Stopped(Reporter):
    """Somebody presses Ctrl-C when the second of the two trainings begins."""

    @contextmanager
    def bar(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        if label == "round 0: train":
            raise KeyboardInterrupt
        with super().bar(label, total, unit) as bar:
            yield bar


def weights(student: Path) -> Any:
    from safetensors.numpy import load_file

    tensors = load_file(student / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)]).astype("float64")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_session")
def test_two_students_are_trained_resumed_used_and_refined_together(tmp_path: Path) -> None:
    folder, base = tmp_path / "run", tmp_path / "student"
    known = [(one.prompt, one.completion) for one in socratic.lessons(ASKED, KNOWN["socratic"])]
    make_tiny_student(base, known, context=1024)
    own = {
        "student": {"model": str(base), "decomposer": "own"},
        "refine": {"rounds": 1, "fresh": False},
        "evaluate": {"baselines": []},
    }
    two = recipe(tmp_path, "socratic", **own)
    with open_run(two, str(folder)) as run:
        bring_base_student(run, print)
        with pytest.raises(KeyboardInterrupt):
            distill(run, Stopped(Console(quiet=True)))
    first = folder / "round-0/decomposer/student/model.safetensors"
    trained = first.stat().st_mtime_ns
    assert not (folder / "round-0/student").exists()
    with open_run(two, str(folder)) as run:
        distill(run, Reporter(Console(quiet=True)))
        stages = [run.done(round_, "train") for round_ in (0, 1)]
    assert first.stat().st_mtime_ns == trained, "it was trained anew"

    # Each learned its own task, and the manifest tells of both.
    for round_, stage in enumerate(stages):
        assert stage and stage.counts["by_task"] == {"decompose": 10, "answer": 20}
        asker, solver = stage.counts["decomposer"]["checkpoint"], stage.counts["checkpoint"]
        assert (asker["steps"], solver["steps"], stage.counts["decomposer"]["examples"]) == (2, 2, 10)
        assert (stage.new, stage.reused) == ((4, 0) if round_ else (2, 2))
        assert json.loads((folder / f"round-{round_}/checkpoint/summary.json").read_text())["examples"] == 20
        before = (f"round-{round_ - 1}/student/decomposer", f"round-{round_ - 1}/student")
        assert (asker["parent"], solver["parent"]) == (before if round_ else (str(base),) * 2)
    assert len(list(Storage(folder).scan_rows("round-0/examples", Example))) == 30

    # Their weights differ, and a later round goes on from both.
    parts = [weights(folder / f"round-{n}/student{part}") for n in (0, 1) for part in ("", "/decomposer")]
    solver, asker, later_solver, later_asker = parts
    assert all(np.any(one != other) for one in parts for other in (*parts, weights(base)) if one is not other)
    assert np.linalg.norm(later_asker - asker) < np.linalg.norm(later_asker - solver)
    assert np.linalg.norm(later_solver - solver) < np.linalg.norm(later_solver - asker)

    for round_ in (0, 1):
        summary = json.loads((folder / f"round-{round_}/eval/unseen/summary.json").read_text())
        assert summary["correct"] == summary["oracle_sub_questions"]["correct"] == 1
    page = Path(write_card(folder, 1) or "").read_text()
    assert "in the folder `decomposer` asks them" in page and 'from_pretrained("decomposer")' in page

    # The folder is one student wherever it goes, and both of its parts are asked.
    moved = shutil.copytree(folder / "round-1/student", tmp_path / "moved")
    assert isinstance(load_engine(moved), InParts)
    with Reasoner.load(moved, sandbox="unsafe") as reasoner:
        answer = reasoner.solve(ASKED, max_tokens=40)
    assert (answer.answer, answer.program) == ("7", KNOWN["socratic"])
    make_tiny_student(moved / "decomposer")
    with Reasoner.load(moved, sandbox="unsafe") as reasoner:
        assert reasoner.solve(ASKED, max_tokens=40).answer is None
