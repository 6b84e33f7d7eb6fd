"""Journals in a bucket: nothing that was finished is lost on its own machine, and at most seconds with the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.flow.journal import JournalReader, JournalWriter, Reservation, journal_folder, writer_name
from pad_ray.flow.shard import Shard
from pad_ray.records import Message, Request, Sample
from pad_ray.storage import Storage

FOLDER = journal_folder(0, "samples", 3)


@pytest.fixture(autouse=True)
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads happen when the test says so."""
    monkeypatch.setattr("pad_ray.flow.segments.UPLOAD_S", 3600)


def sample(number: int) -> Sample:
    return Sample(f"p{number}#program.r0.k0", "t" * number)


def reader(root: str) -> JournalReader:
    return JournalReader(Storage(root), 0, "samples", 3, Sample)


def rows(root: str) -> list[Sample]:
    return list(reader(root).new_rows())


def test_a_row_is_read_at_once_on_its_machine_and_after_a_flush_elsewhere(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writer = JournalWriter(Storage(bucket), 0, "samples", "w1")
    here = reader(bucket)
    for number in range(3):
        writer.append(3, sample(number))
        assert list(here.new_rows()) == [sample(number)]
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "other"))
    there = reader(bucket)
    # The first row makes the journal known; what follows comes with the timer or the end of the slice.
    assert list(there.new_rows()) == [sample(0)]
    writer.flush()
    assert list(there.new_rows()) == [sample(1), sample(2)]
    writer.flush()
    assert list(there.new_rows()) == []
    assert rows(bucket) == [sample(0), sample(1), sample(2)]


def test_the_timer_uploads_too(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pad_ray.flow.segments.UPLOAD_S", 0.02)
    writer = JournalWriter(Storage(bucket), 0, "samples", "w1")
    for number in range(3):
        writer.append(3, sample(number))
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "other"))
    while len(rows(bucket)) < 3:
        pass
    assert rows(bucket) == [sample(0), sample(1), sample(2)]


def test_several_writers_are_read_each_in_its_order(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    writers = [JournalWriter(Storage(bucket), 0, "samples", name) for name in ("w1", "w2")]
    for number in range(20):
        writers[number % 2].append(3, sample(number))
        writers[number % 2].flush()
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "other"))
    found = [row.sample_id for row in rows(bucket)]
    for first in (0, 1):
        own = [sample(number).sample_id for number in range(first, 20, 2)]
        assert [one for one in found if one in own] == own


def test_an_actor_that_starts_again_on_another_machine_keeps_what_it_wrote_on_the_first(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in (0, 1):
        monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / f"machine-{number}"))
        writer = JournalWriter(Storage(bucket), 0, "samples", writer_name("samples"))
        writer.append(3, sample(number))
        writer.flush()
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "other"))
    assert sorted(row.sample_id for row in rows(bucket)) == [sample(0).sample_id, sample(1).sample_id]


def test_compaction_removes_the_journals_wherever_they_lie(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shard = Shard(bucket, 0, 3)
    requests = [Request(sample(n).sample_id, f"p{n}", 0, (Message("user", "q"),), "m", 0.0, 9, 1) for n in range(3)]
    shard.storage.write_rows(shard.file("requests"), Request, requests)
    writer = JournalWriter(Storage(bucket), 0, "samples", "w1")
    for number in (2, 0):
        writer.append(3, sample(number))
    writer.append(3, Reservation(sample(1).sample_id, 0.5, 10, "w1"))
    writer.flush()
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "other"))
    unsettled = shard.compact_samples(shard.samples())
    assert [one.usd for one in unsettled] == [0.5]
    assert shard.storage.read_rows(shard.file("samples"), Sample) == [sample(0), sample(2)]
    assert shard.storage.names(FOLDER) == []
    # The file on the first machine is left over; nobody takes its lines for a journal any more.
    monkeypatch.setenv("PAD_RAY_CACHE", str(tmp_path / "machine"))
    assert Storage(bucket).path(f"{FOLDER}/w1.jsonl").exists()
    assert rows(bucket) == []
    assert [one.usd for one in shard.unsettled().values()] == [0.5]
