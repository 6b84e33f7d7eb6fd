"""Questions that make a student write hostile programs change nothing on the host, and are answered like any other."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import REPO, Service, below, children
from tiny_student import make_tiny_student

from pad_ray.outcomes import Outcome
from serve.schema import MAX_QUESTION_CHARS

pytestmark = pytest.mark.slow

CORPUS = REPO / "tests" / "sandbox" / "hostile.jsonl"
PROGRAMS = {one["name"]: one["code"] for one in map(json.loads, CORPUS.read_text().splitlines())}
TOGETHER = 8
"""Programs of one batch; each has a process of its own and a second."""
FEW = [
    "finally_loop", "string_10g", "module_attr_sys", "proc_parents_environ", "raw_socket_module", "fork_linger",
    "kill_parent", "stdout_flood", "always_equal", "write_all_fds", "native_open", "native_execve", "native_forks",
    "other_sockets",
]  # fmt: skip
OWN = {
    "ask itself": "import urllib.request\ndef solution():\n    return urllib.request.urlopen('http://@HOST@/healthz').read()",
    "read its token": "import os\ndef solution():\n    return os.environ['PAD_RAY_SERVE_TOKEN'] + os.environ['@ENV@']",
    "read the log": "def solution():\n    return open('@LOG@').read() + '@LOG@'",
    "end the service": "import os, signal\ndef solution():\n    os.kill(os.getppid(), signal.SIGKILL)\n    return 1",
}
SECRET_NAME = "PAD_RAY_TEST_SECRET"
SETTLE_SECONDS = 20


class Prey:
    """What hostile programs aim at."""

    def __init__(self, folder: Path) -> None:
        self.secrets = [f"CANARY{secrets.token_hex(12)}" for _ in range(2)]
        self.canary, self.open = folder / "canary.txt", folder / "open_to_all"
        self.canary.write_text(self.secrets[0])
        self.open.mkdir()
        self.open.chmod(0o777)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.door.setblocking(False)

    def aimed(self, code: str, service: Service) -> str:
        """A program, told where all this is."""
        for name, value in (
            ("CANARY", self.canary),
            ("DIR", self.open),
            ("PORT", self.door.getsockname()[1]),
            ("ENV", SECRET_NAME),
            ("HOST", f"127.0.0.1:{service.port}"),
            ("LOG", service.access_log),
        ):
            code = code.replace(f"@{name}@", str(value))
        return code

    def reached(self) -> bool:
        """Whether somebody knocked."""
        try:
            self.door.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def prey(tmp_path_factory: pytest.TempPathFactory) -> Prey:
    return Prey(tmp_path_factory.mktemp("prey"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, prey: Prey) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    student = make_tiny_student(folder / "student")
    with Service(
        [student], folder, token="a-token-for-tests", parrot=True, extra={SECRET_NAME: prey.secrets[1]}
    ) as one:
        yield one


def ask(service: Service, questions: list[str]) -> list[dict[str, Any]]:
    with service.client() as client:
        reply = client.post("/v1/solve/batch", json={"questions": questions})
    assert reply.status_code == 200, reply.text
    return reply.json()["answers"]


def test_the_student_obeys_its_question(service: Service) -> None:
    [answer] = ask(service, ["def solution():\n    return 6 * 7\n"])
    assert (answer["answer"], answer["outcome"]) == ("42", "ok")


def inhabitants(service: Service) -> tuple[int, int]:
    """How many processes the sandbox has (one that was ended is replaced), and how many came to the service as orphans.

    An orphan's new parent is the process that started the service, whose own children are few and stay the same.
    """
    below_executor = below(service.replicas("Executor"))
    return len(below_executor), len(children(service.process.pid))


def sendable(code: str) -> bool:
    """Whether a program can be a question at all."""
    return 0 < len(code) <= MAX_QUESTION_CHARS and code.isascii()


@pytest.mark.parametrize("names", [FEW, pytest.param(sorted(PROGRAMS), marks=pytest.mark.long)], ids=["few", "all"])
def test_hostile_questions_change_nothing_and_are_answered(service: Service, prey: Prey, names: list[str]) -> None:
    programs = [prey.aimed(code, service) for code in (*(PROGRAMS[name] for name in names), *OWN.values())]
    programs = [code for code in programs if sendable(code)]
    executor, before = service.replicas("Executor"), inhabitants(service)
    for start in range(0, len(programs), TOGETHER):
        some = programs[start : start + TOGETHER]
        answers = ask(service, [*some, "def solution():\n    return 6 * 7\n"])
        assert answers.pop()["answer"] == "42"
        for code, answer in zip(some, answers, strict=True):
            assert Outcome(answer["outcome"]).trustworthy, code
            told = json.dumps({key: value for key, value in answer.items() if key not in ("program", "steps")})
            assert not [one for one in (*prey.secrets, service.token) if one in told], code
            assert str(service.access_log) not in told, code
    assert not prey.reached() and list(prey.open.iterdir()) == []
    end = time.monotonic() + SETTLE_SECONDS
    while inhabitants(service) != before and time.monotonic() < end:
        time.sleep(0.2)
    assert inhabitants(service) == before and service.replicas("Executor") == executor
    assert httpx.get(f"{service.url}/healthz").json()["status"] == "ok"
