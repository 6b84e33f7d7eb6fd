"""`pad-ray execute`: every row answered, in order; bad lines named; the output whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import ProblemError, SandboxError, StorageError, UsageError
from pad_ray.grading import execute
from pad_ray.grading.execute import execute_file

LEVEL = "unsafe"
AGREEING = ("correct", "wrong_answer", "runtime_error", "syntax_error", "timeout")


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(source: Path, target: Path, **options: Any) -> dict[str, int]:
    return execute_file(source, target, **{"timeout_s": 1.0, "workers": 1, "level": LEVEL, **options})


def test_each_row_is_executed_judged_and_written_in_order(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "program": "ans = 6 * 7", "answer": "42"},
        {"id": 2, "program": "def solve(n=2):\n    return n", "answer": 3, "entry": "solve"},
        {"id": "c", "program": "ans = 'word'"},
        {"id": "d", "program": "ans = x", "answer": None, "entry": None},
    ]
    counts = run(write(tmp_path / "in.jsonl", rows), tmp_path / "deep" / "out.jsonl")
    written = [json.loads(line) for line in (tmp_path / "deep" / "out.jsonl").read_text().splitlines()]
    assert counts == {"correct": 1, "ok": 1, "runtime_error": 1, "wrong_answer": 1}
    assert [tuple(row) for row in written] == [("id", "outcome", "value", "detail", "seconds", "sandbox")] * 4
    assert [(row["id"], row["outcome"], row["value"]) for row in written] == [
        ("a", "correct", "42"),
        (2, "wrong_answer", "2"),
        ("c", "ok", "word"),
        ("d", "runtime_error", None),
    ]
    assert written[3]["detail"] == "NameError: name 'x' is not defined"
    assert {row["sandbox"] for row in written} <= {"strict", "degraded", "unsafe"}


def test_the_programs_are_never_overwritten_by_their_verdicts(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": 1, "program": "ans = 1"}])
    before = source.read_bytes()
    with pytest.raises(UsageError, match="Choose another name"):
        run(source, tmp_path / "." / "in.jsonl")
    assert source.read_bytes() == before


def test_numbers_are_rounded_only_when_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": 1, "program": "ans = 17.6", "answer": "18"}])
    assert run(source, tmp_path / "out.jsonl") == {"wrong_answer": 1}
    assert run(source, tmp_path / "out.jsonl", rounded=True) == {"correct": 1}


def test_order_holds_across_workers_and_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "CHUNK", 7)
    rows = [{"id": i, "program": f"ans = {i}" + "\nfor _ in range(99999): pass" * (i % 5 == 0)} for i in range(100)]
    seen: list[tuple[int, int]] = []
    source = write(tmp_path / "in.jsonl", rows)
    run(source, tmp_path / "out.jsonl", workers=3, on_progress=lambda done, total: seen.append((done, total)))
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["id"], row["value"]) for row in written] == [(i, str(i)) for i in range(100)]
    assert seen[-1] == (100, 100)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{not json", ":3 is not JSON"),
        ("[1]", ":3 is a JSON list"),
        ('{"id": 1}', ":3: 'program' is missing"),
        ('{"program": "ans = 1"}', ":3: 'id' is missing"),
        ('{"id": 1, "program": 5}', ":3: program and entry must be strings"),
        ("[" * 100_000, ":3 is not JSON"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_written(tmp_path: Path, line: str, complaint: str) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"id": 1, "program": "ans = 1"}}\n\n{line}\n')
    with pytest.raises(ProblemError, match=complaint) as caught:
        run(source, tmp_path / "out.jsonl")
    assert str(source) in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="nowhere"):
        run(tmp_path / "nowhere.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(ProblemError, match="holds no rows"):
        run(write(tmp_path / "empty.jsonl", []), tmp_path / "out.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "\xe9"}')
    with pytest.raises(ProblemError, match="cannot read"):
        run(tmp_path / "latin.jsonl", tmp_path / "out.jsonl")


def test_a_failure_leaves_the_old_output_as_it_was(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": 1, "program": "ans = 1"}] * 3)
    target = tmp_path / "out.jsonl"
    target.write_text("old")

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, target, on_progress=stop)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": 1, "program": "ans = 1"}])
    with pytest.raises(UsageError, match="workers is 0"):
        run(source, tmp_path / "out.jsonl", workers=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        run(source, tmp_path / "file" / "out.jsonl")


def test_a_sandbox_below_the_level_stops_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SandboxError("The sandbox reaches only level 'unsafe'.")

    monkeypatch.setattr("pad_ray.sandbox.client.levels.require", refuse)
    with pytest.raises(SandboxError):
        run(write(tmp_path / "in.jsonl", [{"id": 1, "program": "ans = 1"}]), tmp_path / "out.jsonl", level="strict")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("recorded_teacher_programs_gsm8k_train_gold_conditioned.jsonl", 10),
        ("recorded_teacher_programs_gsm8k_train_pad_gpt35.jsonl", 1),
        ("recorded_teacher_programs_codex_test_dev.jsonl", 20),
    ],
)
def test_recorded_programs_get_the_verdicts_of_an_independent_executor(
    tmp_path: Path, shared_data: Path, name: str, step: int
) -> None:
    with (shared_data / name).open(encoding="utf-8") as lines:
        recorded = [json.loads(line) for number, line in enumerate(lines) if number % step == 0]
    recorded = [row for row in recorded if row["program"] and row["verdict"] in AGREEING]
    rows = [{key: row[key] for key in ("id", "program", "answer", "entry")} for row in recorded]
    run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", workers=2)
    with (tmp_path / "out.jsonl").open() as lines:
        found = [json.loads(line)["outcome"] for line in lines]
    assert [(row["id"], outcome) for row, outcome in zip(recorded, found, strict=True)] == [
        (row["id"], row["verdict"]) for row in recorded
    ]
