"""Replies kept between runs: free, marked, and never trusted when damaged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pad_ray.errors import StorageError
from pad_ray.storage import Storage
from pad_ray.teacher.cache import Cache, entry_name
from tests.fault_server import Running, running
from tests.teacher.asking import Books, ask_all, request


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as started:
        yield started


def test_what_was_asked_before_costs_nothing_makes_no_call_and_is_marked(server: Running, tmp_path: Path) -> None:
    requests = [request(number, f"What is {number} plus 1?") for number in range(20)]
    first = ask_all(server, requests, Books(), cache=Cache(Storage(tmp_path)))
    calls, books = server.stats()["calls"], Books(most=0)
    again = ask_all(server, requests, books, cache=Cache(Storage(tmp_path)))
    assert server.stats()["calls"] == calls
    assert {id_: sample.text for id_, sample in again.items()} == {id_: sample.text for id_, sample in first.items()}
    for sample in again.values():
        told = (sample.cached, sample.cost_usd, sample.unsettled_usd, sample.prompt_tokens, sample.attempts)
        assert told == (True, 0.0, 0.0, 0, 0)
    assert not any(sample.cached for sample in first.values())
    assert (books.spent, books.starts) == (0.0, [])


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 80])
def test_a_damaged_entry_is_asked_again_and_mended(server: Running, tmp_path: Path, damage: bytes) -> None:
    asked = request(1, f"What is 1 plus {len(damage)}?")
    whole = ask_all(server, [asked], Books(), cache=Cache(Storage(tmp_path)))
    entry = tmp_path / entry_name(asked)
    good = entry.read_bytes()
    entry.write_bytes(damage)
    assert ask_all(server, [asked], Books(), cache=Cache(Storage(tmp_path))) != whole
    assert entry.read_bytes() == good


def test_one_changed_byte_is_damage(server: Running, tmp_path: Path) -> None:
    asked = request(1, "What is 1 plus 100?")
    ask_all(server, [asked], Books(), cache=Cache(Storage(tmp_path)))
    entry = tmp_path / entry_name(asked)
    entry.write_bytes(entry.read_bytes().replace(b"101", b"102"))
    (sample,) = ask_all(server, [asked], Books(), cache=Cache(Storage(tmp_path))).values()
    assert "101" in sample.text
    assert not sample.cached


def test_an_entry_belongs_to_everything_that_was_asked() -> None:
    asked = request(1, "What is 1 plus 2?")
    others = [
        replace(asked, model="another"),
        replace(asked, messages=asked.messages[1:]),
        replace(asked, temperature=0.0),
        replace(asked, max_tokens=1),
        replace(asked, seed=1),
        replace(asked, k=1),
    ]
    assert len({entry_name(one) for one in (asked, *others)}) == 7
    assert entry_name(replace(asked, sample_id="x", problem_id="y")) == entry_name(asked)


def test_failures_are_not_kept(server: Running, tmp_path: Path) -> None:
    asked = request(1, "Too long? [faults: 400]")
    cache = Cache(Storage(tmp_path))
    (bad,) = ask_all(server, [asked], Books(), cache=cache).values()
    (good,) = ask_all(server, [asked], Books(), cache=cache).values()
    assert "HTTP 400" in bad.error
    assert (good.error, good.cached) == ("", False)


def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_paid_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Cache(Storage(tmp_path / "file" / "cache"))


def test_a_cache_that_fails_later_loses_no_reply(
    server: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [request(number, f"What is {number} plus 50?") for number in range(5)]
    cache = Cache(Storage(tmp_path))
    for one in asked:
        (tmp_path / entry_name(one)).parent.parent.joinpath(entry_name(one)[:2]).write_text("in the way")
    with caplog.at_level(logging.WARNING):
        samples = ask_all(server, asked, Books(), cache=cache)
    assert [sample.error for sample in samples.values()] == [""] * 5
    assert sum("teacher.cache" in record.message for record in caplog.records) == 1
