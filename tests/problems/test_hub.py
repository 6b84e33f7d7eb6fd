"""hf:// problems, against a hub on loopback and without any: rows, names of columns, the cache, and what goes wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub

from pad_ray.errors import ProblemError
from pad_ray.problems import hub, take_in

MAIN = "hf://school/sums?config=main&split=train"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeHub]:
    with FakeHub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def fake_hub(server: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The hub in place of the real one, with an empty cache."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(server, "down", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", server.url)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return server


def test_rows_of_a_split_become_problems_named_after_the_dataset() -> None:
    first, second = take_in(MAIN, "train").problems
    assert (first.question, first.answer, first.rationale) == ("1 + 1?", "2", "one more")
    assert (second.question, second.answer) == ("1 + 2?", "3")
    assert first.source == second.source == "sums"


def test_a_task_reads_its_rows_from_the_hub_with_every_option() -> None:
    [first, second] = take_in("task://gsm8k?path=hf://school/sums?config=main%26split=train", "train").problems
    assert (first.question, first.answer, first.rationale, first.source) == ("1 + 1?", "2", "one more", "gsm8k")
    assert second.answer == "3"


def test_an_id_is_made_from_the_content_as_for_files(tmp_path: Path) -> None:
    same = tmp_path / "same.jsonl"
    same.write_text('{"question": "1 + 2?", "answer": "3"}\n')
    assert take_in(MAIN, "train").problems[1].problem_id == take_in(str(same), "train").problems[0].problem_id


def test_columns_may_have_other_names_and_ids_are_read() -> None:
    problems = take_in("hf://school/sums?config=named&split=train&question=Problem&answer=Result", "train").problems
    assert [(p.problem_id, p.question, p.answer) for p in problems] == [("7", "2 + 2?", "4"), ("8", "3 + 3?", "6")]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("hf://sums?split=train", "named by owner and name"),
        ("hf://school/sums/main?split=train", "named by owner and name"),
        ("hf://school/sums?config=main", "split is missing"),
        ("hf://school/sums?split=train&name=main", "no option 'name'. There are split, config"),
        ("hf://school/nothing?split=train", r"doesn't exist on the Hub.* HF_TOKEN"),
        ("hf://school/gated?split=train", r"gated dataset.* HF_TOKEN"),
        ("hf://school/sums?split=train", r"pick one among the available configs: \['main', 'named'\]"),
        ("hf://school/sums?config=mian&split=train", r"'mian' not found. Available: \['main', 'named'\]"),
        ("hf://school/sums?config=main&split=dev", r'Unknown split "dev". Should be one of \[.train., .test.\]'),
        (f"{MAIN}&revision=v9", "Revision 'v9' doesn't exist"),
        (f"{MAIN}&answer=gold", "column 'gold', but the columns are question, answer, level. Name the right one"),
        ("hf://school/sums?config=main&split=test", r"split=test row 2: the key 'question' is missing or empty"),
    ],
)
def test_what_cannot_be_loaded_is_explained(uri: str, said: str) -> None:
    with pytest.raises(ProblemError, match=said) as caught:
        take_in(uri, "train")
    assert uri in caught.value.message
    assert "\n" not in str(caught.value)


def test_what_was_loaded_once_needs_no_hub(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    loaded = take_in(MAIN, "train")
    monkeypatch.setattr(fake_hub, "down", True)
    assert take_in(MAIN, "train") == loaded
    monkeypatch.setattr(fake_hub, "down", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert take_in(f"{MAIN}&revision={COMMIT}", "train").problems == loaded.problems


def test_a_cached_copy_never_passes_for_another_revision(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(MAIN, "train")
    monkeypatch.setattr(fake_hub, "down", True)
    with pytest.raises(ProblemError, match=f"the cached copy is of revision {COMMIT}, not known to be 'v2'"):
        take_in(f"{MAIN}&revision=v2", "train")


def test_without_hub_and_cache_the_error_says_why_and_what_to_do(
    fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_hub, "down", True)
    with pytest.raises(ProblemError, match=r"cannot be reached \(it answers with status 503\).* HF_HOME"):
        take_in(MAIN, "train")


def test_a_hub_that_never_answers_is_given_up_after_one_short_try(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets.config

    monkeypatch.setattr(hub, "PROBE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ProblemError, match=r"cannot be reached \(timed out\)"):
            take_in(MAIN, "train")
        silent.settimeout(0)
        silent.accept()  # the one try
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_command_line_says_it_in_one_sentence_with_exit_code_2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    command = [sys.executable, "-m", "pad_ray.cli", "plan", "quick", f"problems.train={MAIN}", "--run-dir", "run"]
    environment = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path / "home")}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120)
    assert result.returncode == 2
    assert f"problems.train: {MAIN}: the hub http://127.0.0.1:{port} cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr
