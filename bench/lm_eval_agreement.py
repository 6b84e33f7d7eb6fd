"""Whether lm-evaluation-harness and pad_ray say the same of a student, item by item.

    python bench/lm_eval_agreement.py --student FOLDER --problems URI --out FOLDER [--form chain] [--dtype float32]

Both decode greedily; the tasks of the harness are those in docs/lm_eval. `--dtype` is the harness's: pad_ray decodes in
bfloat16 where the processor has it and the student is not tiny, else in float32 on a CPU. It needs lm-eval
(`pip install 'lm-eval[hf]'`), which is no part of the development environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

TASKS = Path(__file__).resolve().parents[1] / "docs" / "lm_eval"


class Agreement(NamedTuple):
    """What two evaluations of the same items have in common."""

    items: int
    """Items that both answered."""
    ours: int
    """Right by pad_ray."""
    theirs: int
    """Right by the harness."""
    other_verdict: list[str]
    """Problem ids that only one of them calls right."""
    other_text: list[str]
    """Problem ids for which the student wrote something else."""


def evaluate(student: str, problems: str, limit: int, form: str, out: Path, dtype: str = "float32") -> Agreement:
    """Let both evaluate a student, and compare."""
    ours, theirs = out / "pad_ray", out / "lm_eval"
    line = ["--student", student, "--problems", problems, "--limit", str(limit), "--out", str(ours)]
    _call("pad_ray.cli", "evaluate", *line)
    _call(
        *("lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={student},dtype={dtype}"),
        *("--tasks", f"pad_ray_{form}", "--include_path", str(TASKS), "--limit", str(limit), "--device", "cpu"),
        *("--metadata", json.dumps({"problems": str(ours / "problems.parquet")}), "--batch_size", "16"),
        *("--log_samples", "--output_path", str(theirs)),
    )
    return agreement(_lines(ours / "answers.jsonl"), _lines(next(theirs.rglob("samples_*.jsonl"))), form)


def agreement(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], form: str) -> Agreement:
    """Compare the answers.jsonl of pad_ray with the samples of the harness, which hold the same items."""
    from pad_ray.thoughts import THOUGHTS

    said = {row["doc"]["problem_id"]: row for row in theirs}
    if set(said) != {row["problem_id"] for row in ours} or len(said) != len(theirs):
        raise SystemExit("the two did not answer the same items")
    right = {row["problem_id"]: row["outcome"] == "correct" for row in ours}
    also = {name: bool(row["exact_match"]) for name, row in said.items()}
    texts = {name: THOUGHTS[form].parse(row["resps"][0][0]).program for name, row in said.items()}
    return Agreement(
        items=len(ours),
        ours=sum(right.values()),
        theirs=sum(also.values()),
        other_verdict=[name for name in right if right[name] != also[name]],
        other_text=[row["problem_id"] for row in ours if row["program"] != texts[row["problem_id"]]],
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _call(module: str, *arguments: str) -> None:
    said = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    if said.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)}: {said.stderr[-3000:]}")


def main() -> None:
    """Print how far both agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", required=True)
    parser.add_argument("--problems", required=True, help="a file or URI, as for pad-ray evaluate")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--form", choices=["chain", "program"], default="chain")
    parser.add_argument("--dtype", default="float32", help="of the harness")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found = evaluate(chosen.student, chosen.problems, chosen.limit, chosen.form, chosen.out, chosen.dtype)
    verdicts, texts = (found.items - len(other) for other in (found.other_verdict, found.other_text))
    print(f"{found.items} items; right: {found.ours} by pad_ray, {found.theirs} by lm-eval;", end=" ")
    print(f"the same verdict: {verdicts}, the same text: {texts}")
    for name in dict.fromkeys([*found.other_verdict, *found.other_text]):
        print(f"  differs: {name}")


if __name__ == "__main__":
    main()
