"""The real service: started as a user starts it, asked over HTTP, flooded, and ended with Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tiny_student import make_tiny_student

from pad_ray import __version__
from pad_ray.thoughts.program import student_prompt

REPO = Path(__file__).resolve().parents[2]
MARK = "PAD_RAY_TEST_SERVICE"
START_SECONDS = 240
PROGRAMS = {
    "What is 3 + 4?": "def solution():\n    return 3 + 4\n",
    "Divide by none.": "def solution():\n    return 1 / 0\n",
    "Read the file.": "def solution():\n    return open('/etc/hostname').read()\n",
}

pytestmark = pytest.mark.slow


class Service:
    """A service in a process of its own."""

    def __init__(self, student: Path, folder: Path, token: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = token
        self.mark = f"{MARK}={self.port}-{os.getpid()}"
        name, _, value = self.mark.partition("=")
        code = f"from serve.run import run_service; run_service({str(student)!r}, port={self.port})"
        environment = {key: text for key, text in os.environ.items() if key not in ("RAY_ADDRESS", "PYTHONPATH")}
        environment |= {name: value, "PAD_RAY_SERVE_TOKEN": token, "PYTHONUNBUFFERED": "1"}
        self.output = folder / "output.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code], cwd=REPO, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    def wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while "Serving on" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < end, f"not up after {START_SECONDS} s:\n{self.output.read_text()}"
            time.sleep(0.2)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=60)

    def processes(self) -> set[int]:
        """Every process of the service: marked by its environment, or descended from one that is."""
        marked, parents = set(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] == "Z":
                    continue
                parents[int(entry.name)] = int(fields[1])
                if self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    marked.add(int(entry.name))
            except OSError:
                continue
        grown = True
        while grown:
            children = {pid for pid, parent in parents.items() if parent in marked} - marked
            marked |= children
            grown = bool(children)
        return marked


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    pairs = [(student_prompt(question), program) for question, program in PROGRAMS.items()]
    student = make_tiny_student(folder / "student", pairs)
    service = Service(student, folder, token="a-token-for-tests")
    try:
        service.wait()
        yield service
    finally:
        service.process.send_signal(signal.SIGINT)
        try:
            service.process.wait(60)
        except subprocess.TimeoutExpired:
            service.process.kill()


def test_it_says_where_it_is_and_how_to_ask(service: Service) -> None:
    printed = service.output.read_text()
    assert service.url in printed and f"curl {service.url}/v1/solve" in printed
    assert service.token not in printed


def test_health_shows_a_strict_sandbox(service: Service) -> None:
    health = httpx.get(f"{service.url}/healthz").json()
    assert (health["status"], health["sandbox"]["level"]) == ("ok", "strict")
    layers = health["sandbox"]["layers"]
    assert {layers[name] for name in ("process", "limits", "seccomp", "language")} == {"active"}
    assert layers["landlock"] in ("active", "absent")
    assert health["version"] == __version__ and health["student"].endswith("student")


def test_it_answers_with_the_executed_value_and_the_program(service: Service) -> None:
    with service.client() as client:
        answer = client.post("/v1/solve", json={"question": "What is 3 + 4?"}).json()
        assert (answer["answer"], answer["outcome"]) == ("7", "ok")
        assert answer["program"] == PROGRAMS["What is 3 + 4?"]
        vote = client.post("/v1/solve", json={"question": "What is 3 + 4?", "samples": 4}).json()
        assert vote["answer"] == "7" and 1 <= sum(vote["votes"].values()) <= 4


def test_a_batch_is_answered_in_order_and_a_program_that_fails_harms_nobody(service: Service) -> None:
    with service.client() as client:
        reply = client.post("/v1/solve/batch", json={"questions": [*PROGRAMS, *PROGRAMS]})
    outcomes = [(answer["answer"], answer["outcome"]) for answer in reply.json()["answers"]]
    assert outcomes == 2 * [("7", "ok"), (None, "runtime_error"), (None, "forbidden")]


def test_bad_requests_are_refused_by_name(service: Service) -> None:
    with service.client() as client:
        for body, status in (({"question": ""}, 422), ({"question": "q", "beam": 3}, 422), ([], 422)):
            reply = client.post("/v1/solve", json=body)
            assert reply.status_code == status and reply.json()["error"]["type"] == "invalid_request"
        broken = client.post("/v1/solve", content=b"{", headers={"Content-Type": "application/json"})
        assert broken.status_code == 400
        big = client.post("/v1/solve", content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
        assert big.status_code == 413 and big.json()["error"]["type"] == "too_large"
    assert httpx.post(f"{service.url}/v1/solve", json={"question": "q"}).status_code == 401


def test_a_flood_is_answered_or_told_when_to_come_back(service: Service) -> None:
    async def flood() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {service.token}"}
        limits = httpx.Limits(max_connections=400)
        async with httpx.AsyncClient(base_url=service.url, headers=headers, limits=limits, timeout=120) as client:
            asks = [client.post("/v1/solve", json={"question": "What is 3 + 4?", "samples": 16}) for _ in range(250)]
            return await asyncio.gather(*asks)

    replies = asyncio.run(flood())
    seen = Counter(reply.status_code for reply in replies)
    assert set(seen) == {200, 503}, seen
    for reply in replies:
        if reply.status_code == 503:
            assert int(reply.headers["Retry-After"]) >= 1 and reply.json()["error"]["type"] == "unavailable"
        else:
            assert reply.json()["answer"] == "7"
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_it_listens_on_loopback_only(service: Service) -> None:
    inodes = {
        link.readlink().name.removeprefix("socket:[").rstrip("]")
        for pid in service.processes()
        for link in _descriptors(pid)
        if str(link.readlink()).startswith("socket:")
    }
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert listening and set(listening) <= loopback


def _descriptors(pid: int) -> list[Path]:
    try:
        return [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    except OSError:
        return []


def test_ctrl_c_ends_it_and_everything_it_started(service: Service) -> None:
    before = service.processes()
    assert len(before) > 3
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(60) == 0
    end = time.monotonic() + 20
    while (left := before & _alive(before)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left
    assert not service.processes()
    assert "Traceback" not in service.output.read_text()


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}
