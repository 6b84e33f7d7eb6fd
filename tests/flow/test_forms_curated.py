"""What of dialogues and of commented programs is taught: whatever does not hold is left out and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pad_ray.flow.curating import curate
from pad_ray.flow.plan import sentences
from pad_ray.flow.progress import Reporter
from pad_ray.one_sample import show
from pad_ray.records import Example
from pad_ray.refine.rounds import gather
from pad_ray.run import open_run
from pad_ray.storage import Storage
from tests.flow.test_forms_flow import recipe

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]

SOUND = "1) Is a whale a mammal?\nYes. ## yes\n2) Has it 3 + 1 fins?\nIt has 3 + 1 = 4. ## 4\n3) So?\nIt is. ## yes\n"
REPLIES = {
    "sound": SOUND,
    "slip": SOUND.replace("3 + 1 = 4.", "3 + 1 = 5."),
    "twice": SOUND.replace("## 4", "## 4\nAnd 2 + 2 = 4. ## 4"),
    "open": SOUND.replace(" ## 4", ""),
    "other": SOUND.replace("It is. ## yes", "It is not. ## no"),
}


def curated(folder: Path, thought: str, **more: Any) -> tuple[list[Example], dict[str, int]]:
    run_folder = folder / "run"
    with open_run(recipe(folder, thought, **more), str(run_folder)) as run:
        reporter = Reporter(Console(quiet=True))
        gather(run, 0, reporter)
        curate(run, 0, reporter)
        stage = run.done(0, "curate")
        assert stage and sentences(run)
    return list(Storage(run_folder).scan_rows("round-0/examples", Example)), stage.counts["dropped"]


def test_of_dialogues_for_facts_and_a_final_answer_only_sound_ones_are_taught(tmp_path: Path) -> None:
    problems, replies = tmp_path / "facts.jsonl", tmp_path / "replies.jsonl"
    rows = [{"id": id_, "question": f"Is {id_} so?", "answer": "yes", "facts": ["A fact."]} for id_ in REPLIES]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recorded = ({"problem_id": id_, "text": reply} for id_, reply in REPLIES.items())
    replies.write_text("".join(json.dumps(row) + "\n" for row in recorded))
    examples, dropped = curated(
        tmp_path,
        "socratic",
        problems={"train": f"task://strategyqa?path={problems}"},
        teacher={"kind": "recorded", "path": str(replies), "workers": 1},
    )
    assert {one.problem_id for one in examples} == {"sound"}
    assert [one.task for one in examples] == ["decompose", "answer", "answer", "answer"]
    assert not any("A fact" in one.prompt for one in examples)
    assert dropped == {"wrong_arithmetic": 1, "several_answers": 1, "no_answer": 1, "wrong_answer": 1}
    assert "comes to something else when it is done again" in show(tmp_path / "run", "slip#socratic.r0.k0").fate


def test_sub_questions_stay_in_the_programs_that_are_taught(tmp_path: Path) -> None:
    teacher = {"kind": "worked", "workers": 1, "sub_questions": True}
    examples, _ = curated(tmp_path, "program", teacher=teacher)
    assert len(examples) == 10
    for one in examples:
        rows = int(one.problem_id[1:])
        assert one.completion == (
            "def solution():\n"
            "    # How many eggs?\n"
            f"    eggs = {rows} * 2\n"
            "    # How many with 1 more?\n"
            "    more = eggs + 1\n"
            "    return more\n"
        )
