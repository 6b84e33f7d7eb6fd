"""A node of a cluster is lost with all its actors and another one comes: nothing is missing, twice, or paid twice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import yaml

from pad_ray.records import Request, Sample, Verdict
from pad_ray.storage import Storage
from tests.fault_server import running
from tests.flow.paid_run import PaidRun, recipe_file, whole_lines
from tests.flow.test_sampling_faults import check
from tests.several_nodes import SeveralNodes, several_nodes

pytestmark = pytest.mark.slow

HANGS = "def solution():\n    while True:\n        pass\n"
RIGHT = "def solution():\n    return {}\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[SeveralNodes]:
    with several_nodes() as cluster:
        yield cluster


@pytest.fixture
def nodes(cluster: SeveralNodes, monkeypatch: pytest.MonkeyPatch) -> SeveralNodes:
    """The cluster, which the commands of the test join."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return cluster


def wait_until(happened: Callable[[], object], process: Popen[str]) -> None:
    give_up = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.1)


def journaled(folder: Path, noun: str) -> set[str]:
    """Ids of the rows in the journals of round 0."""
    rows = (json.loads(line) for path in folder.glob(f"round-0/{noun}/journal/*/*.jsonl") for line in whole_lines(path))
    return {row["sample_id"] for row in rows if "sample_id" in row}


@pytest.mark.timeout(400)
def test_samplers_and_the_limits_they_keep_survive_the_loss_of_their_node(tmp_path: Path, nodes: SeveralNodes) -> None:
    first, rest = nodes.add(2, "teacher"), nodes.add(3, "sandbox")
    with running("--latency", 0.4) as server:
        recipe = recipe_file(tmp_path, server.url, 100, concurrency=12, budget_usd=50)
        with PaidRun(recipe, tmp_path / "run") as run:
            process = run.start("sample")
            wait_until(lambda: len(run.finished()) > 40, process)
            nodes.lose(first)
            assert len(run.finished()) < 250, "it was to be lost in the middle"
            second = nodes.add(2, "teacher")
            said, _ = process.communicate(timeout=200)
        assert process.returncode == 0, said[-3000:]
        counted = server.stats(each=True)
    assert len(run.requests()) == 300
    check(run, counted)
    assert len({sample.worker for sample in run.samples()}) > 1
    for node in (second, rest):
        nodes.lose(node)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_judges_whose_node_is_lost_leave_no_sample_without_a_verdict_or_with_two(
    tmp_path: Path, nodes: SeveralNodes
) -> None:
    rest = nodes.add(3, "teacher")
    first = nodes.add(2, "sandbox")
    with PaidRun(recorded(tmp_path, 1000), tmp_path / "run") as run:
        run.end("sample")
        process = run.start("judge")
        wait_until(lambda: len(journaled(run.folder, "verdicts")) > 20, process)
        nodes.lose(first)
        assert len(journaled(run.folder, "verdicts")) < 800, "it was to be lost in the middle"
        second = nodes.add(2, "sandbox")
        said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said[-3000:]
    storage = Storage(run.folder)
    planned = [row.sample_id for row in storage.scan_rows("round-0/requests", Request)]
    assert len(planned) == 1000
    for kind, noun in ((Sample, "samples"), (Verdict, "verdicts")):
        assert Counter(row.sample_id for row in storage.scan_rows(f"round-0/{noun}", kind)) == Counter(planned)
    found = Counter(row.outcome.value for row in storage.scan_rows("round-0/verdicts", Verdict))
    assert found == {"correct": 960, "timeout": 40}
    for node in (second, rest):
        nodes.lose(node)


def recorded(folder: Path, count: int) -> Path:
    """A recipe with so many problems and their recorded replies, every twenty-fifth of which never ends."""
    problems, replies = folder / "problems.jsonl", folder / "replies.jsonl"
    asked = [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": n + 1} for n in range(count)]
    written = [{"problem_id": f"p{n}", "program": HANGS if n % 25 == 0 else RIGHT.format(n + 1)} for n in range(count)]
    for path, rows in ((problems, asked), (replies, written)):
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    recipe = {
        "name": "recorded",
        "problems": {"train": str(problems)},
        "teacher": {"kind": "recorded", "path": str(replies)},
        "sandbox": {"timeout_s": 0.3},
        "student": {"model": "package://quick/student", "init": "random"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"
