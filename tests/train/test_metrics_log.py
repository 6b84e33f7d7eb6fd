"""metrics.jsonl can be read while it is written, and never tells of a step twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pad_ray.train.progress import MetricsLog, TrainProgress, last_progress, read_metrics


def line(step: int) -> TrainProgress:
    return TrainProgress(step, 9, 1.5 / step, 1e-3, 100 * step, 0.1 * step)


def write(path: Path, steps: range, resumed: int) -> None:
    with MetricsLog(path, resumed) as log:
        for step in steps:
            log.append(line(step))


def test_steps_after_the_saved_one_are_taken_back_when_a_training_resumes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 6), resumed=0)
    write(path, range(4, 8), resumed=3)
    assert read_metrics(path) == [line(step) for step in range(1, 8)]


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4), resumed=0)
    path.write_text(path.read_text()[:-20])
    assert [progress.step for progress in read_metrics(path)] == [1, 2]
    assert last_progress(path) == line(2)


def test_a_held_out_loss_stands_only_where_it_was_measured_and_is_seen_some_steps_later(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, 0) as log:
        log.append(replace(line(1), held_out=1.25))
        log.append(line(2))
    assert [progress.held_out for progress in read_metrics(path)] == [1.25, None]
    assert path.read_text().count("held_out") == 1
    assert last_progress(path) == replace(line(2), held_out=1.25)


def test_the_newest_line_is_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert last_progress(path) is None
    write(path, range(1, 2000), resumed=0)
    assert last_progress(path) == line(1999)
