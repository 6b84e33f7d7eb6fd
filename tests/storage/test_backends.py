"""Folder, bucket, and a bucket whose server fails a fifth of all requests: one promise."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pad_ray.errors import StorageError
from pad_ray.records import Problem
from pad_ray.storage import Storage, local_copy

PROBLEMS = [Problem(f"p{number}", "What?", str(number)) for number in range(3)]


def elsewhere(storage: Storage, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Storage:
    """The same root seen from a machine that has no copy of anything."""
    monkeypatch.setenv("PAD_RAY_CACHE", str(folder))
    return Storage(str(storage))


def write_files(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_go_in_and_come_out_whole(storage: Storage) -> None:
    for number in range(8):
        data = bytes([number]) * 1000 * number
        storage.write("a/x", data)
        assert storage.read("a/x") == storage.get("a/x") == data
    assert storage.get("a/y") is None
    with pytest.raises(StorageError, match=r"cannot read .*a/y"):
        storage.read("a/y")


def test_what_is_there_is_known(storage: Storage) -> None:
    for name in ("a/b/x.json", "a/y.json", "a/z.parquet", "ab/x.json"):
        storage.write(name, b"{}")
    assert storage.names("a", ".json") == ["a/y.json"]
    assert storage.names("a") == ["a/y.json", "a/z.parquet"]
    assert storage.names("nothing") == storage.names("a/y.json") == []
    assert [storage.exists(name) for name in ("a", "a/b", "a/y.json", "a/y", "b")] == [True, True, True, False, False]
    storage.delete("a")
    storage.delete("nothing")
    assert not storage.exists("a") and not storage.exists("a/b/x.json")
    assert storage.exists("ab/x.json")


def test_a_file_is_created_once(storage: Storage) -> None:
    for number in range(6):
        assert storage.create(f"x{number}", b"mine")
        assert not storage.create(f"x{number}", b"yours")
        assert storage.read(f"x{number}") == b"mine"


def test_a_file_is_swapped_only_for_what_was_seen(storage: Storage) -> None:
    assert not storage.swap("x", b"0", b"1")
    storage.write("x", b"0")
    for number in range(6):
        assert storage.swap("x", b"%d" % number, b"%d" % (number + 1))
        assert not storage.swap("x", b"%d" % number, b"other")
    assert storage.read("x") == b"6"


def test_of_several_that_swap_one_succeeds(storage: Storage) -> None:
    storage.write("x", b"old")
    together = threading.Barrier(6)

    def swap(number: int) -> bool:
        together.wait()
        return storage.swap("x", b"old", b"by %d" % number)

    with ThreadPoolExecutor(6) as pool:
        swapped = list(pool.map(swap, range(6)))
    assert swapped.count(True) == 1
    assert storage.read("x") == b"by %d" % swapped.index(True)


def test_records_survive(storage: Storage) -> None:
    assert storage.write_rows("t/1.parquet", Problem, PROBLEMS[:2]) == 2
    storage.write_rows("t/2.parquet", Problem, PROBLEMS[2:])
    assert storage.read_rows("t/1.parquet", Problem) == PROBLEMS[:2]
    assert list(storage.scan_rows("t", Problem)) == PROBLEMS
    assert storage.count_rows("t/1.parquet") == 2
    assert storage.column("t/1.parquet", "answer") == ["0", "1"]


def test_a_published_folder_is_the_same_elsewhere(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_files(storage.path("m/student"), config="1", weights="2" * 100, deep__file="3")
    storage.publish("m/student")
    assert storage.published("m") == ["m/student"]
    there = elsewhere(storage, monkeypatch, tmp_path / "other")
    assert content(there.fetch("m/student")) == {"config": "1", "weights": "2" * 100, "deep/file": "3"}
    assert content(local_copy(there.uri("m/student"))) == content(there.path("m/student"))
    # One file is other, one is gone, one is new; of the same name and size all of them.
    there.delete("m/student")
    write_files(there.path("m/student"), config="9", weights="2" * 100, new="3")
    there.publish("m/student")
    here = elsewhere(storage, monkeypatch, tmp_path / "machine")
    assert content(here.fetch("m/student")) == {"config": "9", "weights": "2" * 100, "new": "3"}


def test_a_file_written_into_a_published_folder_is_fetched_with_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_files(storage.path("m/student"), config="1")
    storage.publish("m/student")
    storage.fetch("m/student")
    storage.write("m/student/README.md", b"card")
    assert content(elsewhere(storage, monkeypatch, tmp_path / "other").fetch("m/student"))["README.md"] == "card"
    assert content(elsewhere(storage, monkeypatch, tmp_path / "machine").fetch("m/student"))["README.md"] == "card"


def test_a_published_file_is_the_same_elsewhere(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_files(storage.path("m"), log="1\n")
    storage.publish("m/log")
    assert elsewhere(storage, monkeypatch, tmp_path / "other").fetch("m/log").read_text() == "1\n"
    assert storage.read("m/log") == b"1\n"


def test_libraries_on_pyarrow_write_where_the_storage_reads(bucket: str, tmp_path: Path) -> None:
    path, filesystem = Storage(bucket).arrow("m")
    with filesystem.open_output_stream(f"{path}/x") as stream:
        stream.write(b"1")
    assert Storage(bucket).read("m/x") == b"1"
    assert Storage(tmp_path).arrow("m") == (str(tmp_path / "m"), None)
