"""Students are compared only on problems that both answered, and a comparison that cannot be made says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.errors import UsageError
from pad_ray.evaluate.compare import compare
from pad_ray.evaluate.table import comparison_table
from pad_ray.status import status
from pad_ray.storage import Storage
from tests.evaluate.fabricated_run import write_evaluation


def evaluation(folder: Path, suite: str, right: list[bool], **facts: str) -> Path:
    write_evaluation(Storage(folder), ".", suite, right, **facts)
    return folder / "summary.json"


def test_two_summaries_are_compared_on_the_problems_they_share(tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", "easy", [True, False, False, False])
    two = evaluation(tmp_path / "two", "easy", [True, True, True])
    [difference] = compare([one, two])
    assert (difference.paired.n, difference.paired.gained, difference.paired.lost) == (3, 2, 0)
    assert difference.paired.difference == pytest.approx(2 / 3)
    assert (difference.before, difference.after) == (str(tmp_path / "one"), str(tmp_path / "two"))


def test_a_run_stands_for_its_last_student(finished_run: Path, tmp_path: Path) -> None:
    other = evaluation(tmp_path / "other", "sum.u-1", [True] * 6)
    [difference] = compare([finished_run, other.parent])
    assert difference.suite == "other" and difference.before.endswith("round 1")
    assert (difference.paired.before, difference.paired.after) == (pytest.approx(4 / 6), 1.0)


def test_a_run_alone_is_compared_with_its_best_baseline_and_its_own_rounds(finished_run: Path) -> None:
    found = [(one.before, one.after, one.paired.gained) for one in compare([finished_run])]
    best = "untrained, programs after 4 examples"
    assert found == [(best, "round 0", 1), (best, "round 1", 3), ("round 0", "round 1", 2)]


def test_of_equal_baselines_the_first_way_of_asking_counts(finished_run: Path) -> None:
    Storage(finished_run).delete("base/eval/sum.u-1/few_shot")
    assert {one.before for one in compare([finished_run])} == {"untrained, answers directly", "round 0"}


def test_before_any_training_a_run_stands_for_its_best_baseline(finished_run: Path, tmp_path: Path) -> None:
    for folder in ("round-0", "round-1"):
        Storage(finished_run).delete(folder)
    other = evaluation(tmp_path / "other", "sum.u-1", [True] * 6)
    [difference] = compare([finished_run, other])
    assert difference.before.endswith("untrained, programs after 4 examples")


def test_the_same_numbers_under_other_questions_are_not_the_same_problems(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "one")
    one = evaluation(tmp_path / "one", "easy", [True, False])
    two = evaluation(tmp_path / "two", "easy", [True, False])
    lines = storage.read("answers.jsonl").replace(b"easy question", b"hard question")
    storage.write("answers.jsonl", lines)
    with pytest.raises(UsageError, match="shares no problem"):
        compare([one, two])


def test_a_lenient_match_is_never_compared_with_an_exact_one(tmp_path: Path, finished_run: Path) -> None:
    exact = evaluation(tmp_path / "exact", "sum.u-1", [True] * 6)
    lenient = evaluation(tmp_path / "lenient", "sum.u-1", [True] * 6, match="rounded")
    for paths in ([exact, lenient], [lenient, exact], [finished_run, lenient]):
        with pytest.raises(UsageError, match=r"by match 'exact', .*lenient by match 'rounded'") as refusal:
            compare(paths)
        assert "--rounded" in refusal.value.hint
    assert compare([lenient, evaluation(tmp_path / "too", "sum.u-1", [True] * 6, match="rounded")])


def test_what_holds_no_evaluation_is_refused_by_name(tmp_path: Path, finished_run: Path) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([])
    with pytest.raises(UsageError, match=r"no run folder or summary\.json at .*nowhere"):
        compare([tmp_path / "nowhere", finished_run])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty is not a run folder: it has no manifest\.json"):
        compare([finished_run, tmp_path / "empty"])
    alone = evaluation(tmp_path / "alone", "easy", [True])
    with pytest.raises(UsageError, match="Name a second"):
        compare([alone])
    (tmp_path / "alone" / "answers.jsonl").unlink()
    with pytest.raises(UsageError, match=r"no answers\.jsonl beside it"):
        compare([alone, finished_run])


def test_the_table_holds_every_figure(finished_run: Path) -> None:
    console = Console(width=140, record=True)
    console.print(comparison_table(compare([finished_run])))
    text = console.export_text()
    for figure in ("sum.u-1", "untrained", "round 1", "+50.0", "16.7", "0.250", "no clear difference"):
        assert figure in text


def test_the_folder_of_a_study_is_not_taken_for_an_unfinished_run(tmp_path: Path) -> None:
    Storage(tmp_path).write("study.yaml", b"name: x")
    for look in (lambda: compare([str(tmp_path), str(tmp_path)]), lambda: status(tmp_path)):
        with pytest.raises(UsageError, match="is the folder of a study"):
            look()
