"""Storage: whole files, atomically; records in, records out."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pad_ray import errors
from pad_ray.errors import PadRayError, StorageError
from pad_ray.outcomes import Outcome
from pad_ray.records import Message, Problem, Request, Step, Verdict
from pad_ray.storage import Storage, rows, writing

PROBLEM = Problem("a/1", "What?", "4", steps=(Step("q", "a"),), facts=("f", "g"))
REQUEST = Request("a/1#program.r0.k0", "a/1", 0, (Message("user", "Hi"),), "m", 0.5, 10, 7)
VERDICT = Verdict("a/1#program.r0.k0", "x = 1\n", Outcome.RUNTIME_ERROR, detail="NameError: x")


@pytest.mark.parametrize("row", [PROBLEM, REQUEST, VERDICT], ids=lambda row: type(row).__name__)
def test_records_survive_parquet(tmp_path: Path, row: object) -> None:
    storage = Storage(tmp_path)
    assert storage.write_rows("r/x.parquet", type(row), [row, row]) == 2
    assert storage.read_rows("r/x.parquet", type(row)) == [row, row]


def test_records_that_are_turned_into_a_table_in_parts_are_read_back_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SOME", 3)
    storage = Storage(tmp_path)
    many = [Problem(f"p{number}", "What?", str(number)) for number in range(10)]
    assert storage.write_rows("x.parquet", Problem, iter(many)) == storage.count_rows("x.parquet") == 10
    assert storage.read_rows("x.parquet", Problem) == many


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_rows("x.parquet", Problem, [])
    assert storage.read_rows("x.parquet", Problem) == []


def test_a_failed_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("x", b"old")
    with pytest.raises(ValueError, match="half way"), writing(storage.path("x")) as temporary:
        temporary.write_bytes(b"ne")
        raise ValueError("half way")
    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_new_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[list[str]] = []
    monkeypatch.setattr("os.fsync", lambda _: names.append([path.name for path in tmp_path.iterdir()]))
    Storage(tmp_path).write("x", b"new")
    assert names and all("x" not in there for there in names)


def test_half_a_surrogate_pair_becomes_its_escape(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_rows("x.parquet", Problem, [Problem("a", "\ud83d?", "é", facts=("\udc00",))])
    assert storage.read_rows("x.parquet", Problem) == [Problem("a", "\\ud83d?", "é", facts=("\\udc00",))]


def test_create_writes_only_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert storage.create("x", b"1")
    assert not storage.create("x", b"2")
    assert storage.read("x") == b"1"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file/run"):
        Storage(tmp_path / "file" / "run").write("manifest.json", b"{}")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(StorageError, match=r"x\.parquet"):
        Storage(tmp_path).read_rows("x.parquet", Problem)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(StorageError, match=r"gs://bucket/run.*neither a folder nor s3://"):
        Storage("gs://bucket/run")


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)])
def test_errors_survive_pickling(kind: type[PadRayError]) -> None:
    if not issubclass(kind, PadRayError):
        return
    error = pickle.loads(pickle.dumps(kind("what", hint="do this")))
    assert (type(error), str(error), error.hint) == (kind, "what do this", "do this")
