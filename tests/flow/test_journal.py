"""Journals and shards: a finished row survives, a torn one is ignored, and the best of several wins."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pad_ray.flow.journal import OPEN_FILES, JournalReader, JournalWriter, Reservation, journal_folder
from pad_ray.flow.shard import Shard, judged, settled
from pad_ray.outcomes import Outcome
from pad_ray.records import Message, Request, Sample, Verdict
from pad_ray.storage import Storage


def sample(number: int, text: str = "t", **more: object) -> Sample:
    return Sample(f"p{number}#program.r0.k0", text, **more)  # type: ignore[arg-type]


def reader(storage: Storage) -> JournalReader:
    return JournalReader(storage, 0, "samples", 3, Sample)


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    found = Shard(str(tmp_path), 0, 3)
    rows = [Request(f"p{n}#program.r0.k0", f"p{n}", 0, (Message("user", "q"),), "m", 0.0, 9, 1) for n in range(4)]
    found.storage.write_rows(found.file("requests"), Request, rows)
    return found


def test_rows_are_there_as_soon_as_append_returns(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    writer = JournalWriter(storage, 0, "samples", "w1")
    tail = reader(storage)
    for number, text in enumerate(["plain", "line\nbreak", "\u2028 ü", ""]):
        writer.append(3, sample(number, text))
        assert list(tail.new_rows()) == [sample(number, text)]
    assert list(tail.new_rows()) == []


def test_an_actor_that_comes_to_every_shard_of_a_large_run_holds_few_files_open_and_loses_no_row(
    tmp_path: Path,
) -> None:
    storage, shards = Storage(tmp_path), range(3 * OPEN_FILES)
    writer, before = JournalWriter(storage, 0, "samples", "w1"), len(os.listdir("/proc/self/fd"))
    for number in (1, 2):
        for shard in shards:
            writer.append(shard, sample(number))
    assert len(os.listdir("/proc/self/fd")) - before <= OPEN_FILES
    for shard in shards:
        found = JournalReader(storage, 0, "samples", shard, Sample).new_rows()
        assert [row.sample_id for row in found] == ["p1#program.r0.k0", "p2#program.r0.k0"]


def test_a_torn_last_line_is_ignored_until_it_is_whole(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    JournalWriter(storage, 0, "samples", "w1").append(3, sample(1))
    path = storage.path(f"{journal_folder(0, 'samples', 3)}/w1.jsonl")
    whole = path.read_bytes()
    tail = reader(storage)
    with path.open("ab") as file:
        file.write(whole[:20])
        file.flush()
        assert list(tail.new_rows()) == [sample(1)]
        file.write(whole[20:])
        file.flush()
        assert list(tail.new_rows()) == [sample(1)]


def test_compaction_holds_each_id_once_in_plan_order_and_removes_the_journals(shard: Shard) -> None:
    one, two = (JournalWriter(shard.storage, 0, "samples", name) for name in ("w1", "w2"))
    one.append(3, sample(2, "late"))
    two.append(3, sample(2, "again"))
    two.append(3, sample(0))
    shard.compact("samples", Sample, shard.samples())
    ids = [row.sample_id for row in shard.storage.read_rows(shard.file("samples"), Sample)]
    assert ids == ["p0#program.r0.k0", "p2#program.r0.k0"]
    assert not shard.storage.exists(journal_folder(0, "samples", 3))
    # A second compaction, after a crash between the two steps, changes nothing.
    shard.compact("samples", Sample, shard.samples())
    assert [row.sample_id for row in shard.storage.read_rows(shard.file("samples"), Sample)] == ids


def test_a_reply_beats_an_error_whichever_came_last(shard: Shard) -> None:
    writer = JournalWriter(shard.storage, 0, "samples", "w1")
    writer.append(3, sample(1, "", error="503", transient=True))
    writer.append(3, sample(1, "paid"))
    writer.append(3, sample(1, "", error="503", transient=True))
    assert shard.samples()["p1#program.r0.k0"].text == "paid"


def test_only_a_passing_error_is_asked_again() -> None:
    assert not settled(None)
    assert settled(sample(1))
    assert settled(sample(1, error="unknown model"))
    assert not settled(sample(1, error="503", transient=True))


def test_a_verdict_about_a_failed_call_does_not_stand_for_the_reply_that_came_later(shard: Shard) -> None:
    failed = Verdict("p1#program.r0.k0", "", Outcome.TEACHER_ERROR)
    good = replace(failed, program="x", outcome=Outcome.CORRECT)
    assert judged(failed, sample(1, error="503"))
    assert not judged(failed, sample(1))
    assert judged(good, sample(1))
    assert not judged(replace(good, outcome=Outcome.SANDBOX_ERROR), sample(1))
    writer = JournalWriter(shard.storage, 0, "verdicts", "w1")
    for verdict in (failed, good, failed):
        writer.append(3, verdict)
    assert shard.verdicts()["p1#program.r0.k0"].outcome is Outcome.CORRECT


def reserve(shard: Shard, worker: str, *numbers: int) -> JournalWriter:
    writer = JournalWriter(shard.storage, 0, "samples", worker)
    for number in numbers:
        writer.append(3, Reservation(f"p{number}#program.r0.k0", 0.5, 100, worker))
    return writer


def test_a_reservation_is_no_sample_and_is_settled_by_the_sample_that_follows_in_the_same_journal(shard: Shard) -> None:
    one = reserve(shard, "w1", 0, 1, 1)  # the second attempt at p1 may cost again
    two = reserve(shard, "w2", 2)
    one.append(3, sample(0))
    two.append(3, sample(1))  # another worker's call says nothing of this one's
    assert set(shard.samples()) == {"p0#program.r0.k0", "p1#program.r0.k0"}
    open_ = shard.unsettled()
    assert {key: one.usd for key, one in open_.items()} == {
        ("w1", "p1#program.r0.k0"): 1.0,
        ("w2", "p2#program.r0.k0"): 0.5,
    }


def test_compaction_keeps_unsettled_calls_and_counts_them_once_even_if_it_is_killed_in_between(shard: Shard) -> None:
    reserve(shard, "w1", 1, 2).append(3, sample(2))
    journals = shard.storage.path(journal_folder(0, "samples", 3))
    copy = (journals / "w1.jsonl").read_bytes()
    assert [one.reserved for one in shard.compact_samples(shard.samples())] == ["p1#program.r0.k0"]
    journals.mkdir()
    (journals / "w1.jsonl").write_bytes(copy)  # as if the journals had not been removed
    reserve(shard, "w3", 1).append(3, sample(1))  # asked again, answered: what the first call may have cost stays
    for _ in range(2):
        assert [(one.reserved, one.usd) for one in shard.compact_samples(shard.samples())] == [
            ("p1#program.r0.k0", 0.5)
        ]


def test_of_two_failed_rows_the_one_that_carries_the_cost_of_the_other_is_kept(shard: Shard) -> None:
    later, earlier = (JournalWriter(shard.storage, 0, "samples", name) for name in ("a", "b"))
    earlier.append(3, sample(1, "", error="503", transient=True, attempts=4, cost_usd=0.25))
    later.append(3, sample(1, "", error="503", transient=True, attempts=7, cost_usd=0.5))
    assert shard.samples()["p1#program.r0.k0"].cost_usd == 0.5
