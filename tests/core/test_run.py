"""A run folder: one writer, one recipe, a manifest that stays true however a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pad_ray.errors import BudgetReached, LeaseError, OutOfOrder, RecipeError, StorageError
from pad_ray.evaluate.folder import read_json, read_recipe
from pad_ray.lease import Lease
from pad_ray.manifest import UNTOUCHED, Manifest, load_manifest
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import parse_recipe
from pad_ray.run import open_run
from pad_ray.storage import Storage


def recipe(**more: Any) -> Recipe:
    return parse_recipe({"name": "t", "problems": {"train": "a"}, "student": {"model": "m"}, **more})


def state(folder: Path) -> Manifest:
    manifest = load_manifest(Storage(folder))
    assert manifest
    return manifest


@pytest.mark.parametrize(
    ("error", "expected"),
    [(KeyboardInterrupt(), "interrupted"), (BudgetReached("cap"), "stopped"), (ValueError("x"), "failed")],
)
def test_the_manifest_says_how_a_run_ended(tmp_path: Path, error: BaseException, expected: str) -> None:
    with pytest.raises(type(error)), open_run(recipe(), str(tmp_path)) as run, run.stage(0, "plan"):
        raise error
    assert state(tmp_path).state == expected
    assert state(tmp_path).stages[0].state == "partial"
    assert not (tmp_path / "lease.json").exists()


def test_a_stage_out_of_order_fails_nothing(tmp_path: Path) -> None:
    for before in ("partial", "failed", "done"):
        with open_run(recipe(), str(tmp_path)) as run, run.stage(0, "curate"):
            pass
        manifest = state(tmp_path)
        manifest.state = before
        manifest.save(Storage(tmp_path))
        with pytest.raises(OutOfOrder, match="no finished stage 'train'"), open_run(recipe(), str(tmp_path)) as run:
            run.require(0, "train")
        assert (state(tmp_path).state, state(tmp_path).error) == (before, "")


@pytest.mark.parametrize(("text", "said"), [("{}", "format_version: Field required"), ("[1]", "object"), ("{", "JSON")])
def test_a_broken_manifest_is_told_alike_and_nobody_is_told_to_delete_it(tmp_path: Path, text: str, said: str) -> None:
    with open_run(recipe(), str(tmp_path)):
        pass
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(StorageError, match=said) as refused:
        load_manifest(Storage(tmp_path))
    assert refused.value.hint == UNTOUCHED
    if text != "{}":
        with pytest.raises(StorageError) as refused:
            read_json(Storage(tmp_path), "manifest.json")
        assert refused.value.hint == UNTOUCHED


def test_a_recipe_of_a_run_that_is_no_recipe_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("word\n")
    with pytest.raises(StorageError, match=r"recipe\.yaml is not a recipe"):
        read_recipe(Storage(tmp_path))


def test_an_interruption_is_written_down_before_the_run_has_ended(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(recipe(), str(tmp_path)) as run:
        try:
            with run.stage(0, "plan"):
                raise KeyboardInterrupt
        finally:
            # Here Ray ends, for which it may be given no time.
            assert (state(tmp_path).state, state(tmp_path).stages[0].state) == ("interrupted", "partial")


def test_a_folder_in_which_nothing_was_asked_yet_takes_another_recipe(tmp_path: Path) -> None:
    with open_run(recipe(), str(tmp_path)) as run, run.stage(0, "plan"):
        pass
    with open_run(recipe(seed=5), str(tmp_path)) as run:
        assert run.done(0, "plan") is None
    with open_run(recipe(seed=5), str(tmp_path)) as run, run.stage(0, "plan"):
        (tmp_path / "round-0/samples").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"seed: 5 in the run, 0 now"), open_run(recipe(), str(tmp_path)):
        pass


def test_a_folder_of_another_recipe_is_refused_and_the_key_is_named(tmp_path: Path) -> None:
    with open_run(recipe(), str(tmp_path)) as run, run.stage(0, "curate"):
        pass
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(RecipeError, match=r"seed: 0 in the run, 5 now"), open_run(recipe(seed=5), str(tmp_path)):
        pass
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert not (tmp_path / "lease.json").exists()


def test_a_folder_is_read_only_once_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def load(storage: Storage) -> Manifest | None:
        held.append(storage.exists("lease.json"))
        return load_manifest(storage)

    monkeypatch.setattr("pad_ray.run.load_manifest", load)
    with open_run(recipe(), str(tmp_path)):
        pass
    assert held == [True]


def test_a_folder_where_nothing_was_finished_takes_a_corrected_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="typo"), open_run(recipe(), str(tmp_path)) as run, run.stage(0, "plan"):
        raise ValueError("typo")
    with open_run(recipe(seed=5), str(tmp_path)) as run:
        assert run.manifest.recipe_hash == recipe(seed=5).hash()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with open_run(recipe(), str(tmp_path)):
        pass
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99, "new_field": []}))
    before = path.read_bytes()
    with pytest.raises(RecipeError, match="format_version 99"), open_run(recipe(), str(tmp_path)):
        pass
    assert path.read_bytes() == before
    assert not (tmp_path / "lease.json").exists()


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(StorageError, match=r"manifest\.json"), open_run(recipe(), str(tmp_path)):
        pass


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    with open_run(recipe(), str(tmp_path)):
        with pytest.raises(LeaseError, match=str(os.getpid())), open_run(recipe(), str(tmp_path)):
            pass


def test_the_lease_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pad_ray.lease import Lease\nfrom pad_ray.storage import Storage\n"
        "with Lease(Storage(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(LeaseError), open_run(recipe(), str(tmp_path)):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with open_run(recipe(), str(tmp_path)):
        pass


def test_a_lease_from_elsewhere_holds_until_it_expires(tmp_path: Path) -> None:
    elsewhere = {"token": "t", "host": "other", "machine": "other", "pid": 1, "started": "1"}
    (tmp_path / "lease.json").write_text(json.dumps({**elsewhere, "expires": 4e9}))
    with pytest.raises(LeaseError, match="on other"), open_run(recipe(), str(tmp_path)):
        pass
    (tmp_path / "lease.json").write_text(json.dumps({**elsewhere, "expires": 1}))
    with open_run(recipe(), str(tmp_path)):
        pass


def test_a_process_that_lost_its_lease_writes_nothing_more(tmp_path: Path) -> None:
    with pytest.raises(LeaseError, match="taken over"), open_run(recipe(), str(tmp_path)) as run:
        lease = json.loads((tmp_path / "lease.json").read_text())
        (tmp_path / "lease.json").write_text(json.dumps(lease | {"token": "another"}))
        run.save()


def test_a_lease_that_was_deleted_is_lost(tmp_path: Path) -> None:
    with pytest.raises(LeaseError, match="its lease is gone"), open_run(recipe(), str(tmp_path)) as run:
        (tmp_path / "lease.json").unlink()
        run.save()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_lease_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "lease.json").write_text(content)
    with open_run(recipe(), str(tmp_path)):
        pass


def test_of_two_that_take_over_a_dead_lease_only_one_wins(tmp_path: Path) -> None:
    dead = {"token": "t", "host": "other", "machine": "other", "pid": 1, "started": "1", "expires": 1}
    (tmp_path / "lease.json").write_text(json.dumps(dead))
    first = Lease(Storage(tmp_path))

    class Overtaken(Storage):
        """The first takes over after the second has found the lease dead, and before it replaces it."""

        def swap(self, name: str, old: bytes, new: bytes) -> bool:
            first.__enter__()
            return super().swap(name, old, new)

    with pytest.raises(LeaseError, match="in use"), Lease(Overtaken(tmp_path)):
        pass
    first.check()
    first.__exit__(None, None, None)
    assert not list(tmp_path.iterdir())
