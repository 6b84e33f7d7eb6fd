"""The real service: started as a user starts it, asked over HTTP, flooded, and ended with Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import httpx
import openai
import pytest
from served import Service, below
from tiny_student import make_tiny_student

from pad_ray import __version__
from pad_ray.thoughts import equation
from pad_ray.thoughts.program import student_prompt

PROGRAMS = {
    "What is 3 + 4?": "def solution():\n    return 3 + 4\n",
    "Divide by none.": "def solution():\n    return 1 / 0\n",
    "Leave a mark.": "def solution():\n    open('/tmp/pad_ray_mark', 'w').close()\n    return 1\n",
}
SYSTEM = "eggs = 5 + 4\nans = eggs\n"

OVERLOAD_SECONDS = 8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    pairs = [(student_prompt(question), program) for question, program in PROGRAMS.items()]
    student = make_tiny_student(folder / "student", pairs)
    # Nobody taught the other one anything; the last one reasons in another form.
    other = make_tiny_student(folder / "other")
    solver = make_tiny_student(folder / "solver", [(equation.student_prompt("How many eggs?"), SYSTEM)])
    (solver / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": "equation"}))
    with Service([student, other, solver], folder, token="a-token-for-tests") as service:
        yield service


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
    assert health["version"] == __version__ and health["students"] == service.students


def test_it_answers_with_the_executed_value_and_the_program(service: Service) -> None:
    with service.client() as client:
        answer = client.post("/v1/solve", json={"question": "What is 3 + 4?"}).json()
        assert (answer["answer"], answer["outcome"]) == ("7", "ok")
        assert answer["program"] == PROGRAMS["What is 3 + 4?"]
        vote = client.post("/v1/solve", json={"question": "What is 3 + 4?", "samples": 4}).json()
        assert vote["answer"] == "7" and 1 <= sum(vote["votes"].values()) <= 4


def test_each_student_is_asked_by_its_name(service: Service) -> None:
    with service.client() as client:
        replies = [
            client.post("/v1/solve", json={"question": "What is 3 + 4?", "model": name, "max_tokens": 40}).json()
            for name in service.students[:2] * 2
        ]
    assert [reply["answer"] == "7" for reply in replies] == [True, False, True, False]


def test_a_student_of_another_form_answers_in_it_and_says_what_it_cannot_do(service: Service) -> None:
    eggs = {"question": "How many eggs?", "model": service.students[2]}
    with service.client() as client:
        answer = client.post("/v1/solve", json=eggs).json()
        assert (answer["answer"], answer["program"]) == ("9", SYSTEM)
        assert [step["state"] for step in answer["steps"]] == ["not_run", "not_run"]
        streamed = client.post("/v1/solve", json={**eggs, "stream": True}).text
        for stream in (False, True):
            refused = client.post("/v1/solve", json={**eggs, "decode": "beam", "stream": stream})
            assert (refused.status_code, refused.json()["error"]["param"]) == (422, "decode")
            assert "systems of equations" in refused.json()["error"]["message"]
    assert re.findall(r"^event: (\w+)$", streamed, re.MULTILINE) == ["accepted", "program", "answer"]


def test_the_steps_are_streamed_before_the_answer(service: Service) -> None:
    with service.client() as client:
        reply = client.post("/v1/solve", json={"question": "What is 3 + 4?", "stream": True})
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert re.findall(r"^event: (\w+)$", reply.text, re.MULTILINE) == ["accepted", "program", "step", "answer"]
    assert json.loads(reply.text.strip().split("data: ")[-1])["answer"] == "7"


def test_a_search_writes_and_executes_by_turns_and_shows_its_path(service: Service) -> None:
    beam = {"question": "What is 3 + 4?", "decode": "beam", "beams": 2, "continuations": 2}
    with service.client() as client:
        whole = client.post("/v1/solve", json=beam).json()
        assert (whole["answer"], whole["program"]) == ("7", PROGRAMS["What is 3 + 4?"])
        text = client.post("/v1/solve", json={**beam, "stream": True}).text
        mended = client.post("/v1/solve", json={"question": "Divide by none.", "decode": "repair"}).json()
    names = re.findall(r"^event: (\w+)$", text, re.MULTILINE)
    assert names[:2] == ["accepted", "path"] and names[-3:] == ["program", "step", "answer"]
    # It was shown what was wrong, and wrote something again.
    assert (mended["answer"], mended["outcome"]) == (None, "runtime_error")
    assert mended["tokens"] > len(mended["program"]) + 1


def test_the_official_openai_client_is_answered_whole_and_in_a_stream(service: Service) -> None:
    messages = [{"role": "user", "content": "What is 3 + 4?"}]
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.token) as client:
        name = next(iter(client.models.list())).id
        whole = client.chat.completions.create(model=name, messages=messages)  # type: ignore[arg-type]
        assert whole.choices[0].message.content == "7"
        assert whole.usage and whole.usage.prompt_tokens == len(student_prompt("What is 3 + 4?"))
        chunks = list(client.chat.completions.create(model=name, messages=messages, stream=True))  # type: ignore[arg-type]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "7"


def test_the_playground_is_there(service: Service) -> None:
    page = httpx.get(service.url)
    assert page.status_code == 200 and "default-src 'none'" in page.headers["Content-Security-Policy"]


def visits(service: Service) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.access_log.read_text().splitlines()]


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.2)
    assert true()


def test_a_client_that_leaves_is_not_worked_for(service: Service) -> None:
    # The untaught student writes until its limit.
    body = {"question": "Who leaves?", "model": service.students[1], "samples": 32, "max_tokens": 1024}
    with service.client() as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/solve", json=body, timeout=0.3)
    wait_until(lambda: any(visit["status"] == 499 for visit in visits(service)))
    assert "Who leaves?" not in service.access_log.read_text()


def test_prometheus_finds_what_was_counted(service: Service) -> None:
    counted = re.compile(r'^ray_pad_ray_requests_total\{.*route="/v1/solve".*\} [1-9]', re.MULTILINE)
    with service.client() as client:
        client.post("/v1/solve", json={"question": "What is 3 + 4?"})
        wait_until(lambda: bool(counted.search(client.get("/metrics").text)))
        page = client.get("/metrics").text
    assert "ray_pad_ray_answers_total" in page and "ray_serve_deployment_request_counter" in page
    assert "What is" not in page


@pytest.mark.parametrize("victim", [pytest.param("Model", marks=pytest.mark.long), "Executor", "sandbox"])
def test_a_killed_replica_or_sandbox_loses_no_request_that_was_let_in(service: Service, victim: str) -> None:
    async def ask() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {service.token}"}
        async with httpx.AsyncClient(base_url=service.url, headers=headers, timeout=120) as client:
            bodies = [{"question": "What is 3 + 4?", "samples": 2} for _ in range(30)]
            asks = [asyncio.ensure_future(client.post("/v1/solve", json=body)) for body in bodies]
            await asyncio.sleep(0.1)
            for pid in victims:
                # The processes of a sandbox end with its first one.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            return await asyncio.gather(*asks)

    executors = service.replicas("Executor")
    victims = below(executors) - executors if victim == "sandbox" else service.replicas(victim)
    killed: list[int] = []
    replies = asyncio.run(ask())
    assert killed
    assert Counter((reply.status_code, reply.json().get("answer")) for reply in replies) == {(200, "7"): 30}


def test_a_batch_is_answered_in_order_and_a_program_that_fails_harms_nobody(service: Service) -> None:
    with service.client() as client:
        reply = client.post("/v1/solve/batch", json={"questions": [*PROGRAMS, *PROGRAMS]})
    outcomes = [(answer["answer"], answer["outcome"]) for answer in reply.json()["answers"]]
    assert outcomes == 2 * [("7", "ok"), (None, "runtime_error"), (None, "forbidden")]
    assert not Path("/tmp/pad_ray_mark").exists()


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


def test_four_times_what_it_bears_is_answered_or_told_when_to_come_back(service: Service) -> None:
    # The untaught student writes until its limit, so that it is the Model that is full.
    body = {"question": "How many?", "model": service.students[1], "samples": 8, "max_tokens": 128}

    async def ask(client: httpx.AsyncClient) -> tuple[httpx.Response, float]:
        started = time.monotonic()
        return await client.post("/v1/solve", json=body), time.monotonic() - started

    async def visit() -> tuple[int, list[tuple[httpx.Response, float]]]:
        headers = {"Authorization": f"Bearer {service.token}"}
        limits, chance = httpx.Limits(max_connections=None), Random(0)
        async with httpx.AsyncClient(base_url=service.url, headers=headers, limits=limits, timeout=120) as client:
            started = time.monotonic()
            full = [reply.status_code for reply, _ in await asyncio.gather(*(ask(client) for _ in range(8)))]
            sustained, before = 8 / (time.monotonic() - started), service.memory()
            assert full == [200] * 8
            crowd: list[asyncio.Task[tuple[httpx.Response, float]]] = []
            while time.monotonic() - started < OVERLOAD_SECONDS:
                crowd.append(asyncio.ensure_future(ask(client)))
                await asyncio.sleep(chance.expovariate(4 * sustained))
            return before, await asyncio.gather(*crowd)

    replicas = [service.replicas(deployment) for deployment in ("Ingress", "Model", "Executor")]
    before, seen = asyncio.run(visit())
    taken: dict[int, list[float]] = {}
    for reply, seconds in seen:
        taken.setdefault(reply.status_code, []).append(seconds)
        if reply.status_code == 503:
            assert int(reply.headers["Retry-After"]) >= 1 and reply.json()["error"]["type"] == "unavailable"
    assert set(taken) == {200, 503}, {status: len(times) for status, times in taken.items()}
    # Who is refused does not wait for the Model.
    assert median(taken[503]) < median(taken[200])
    assert service.memory() - before < 200 << 20
    assert [service.replicas(deployment) for deployment in ("Ingress", "Model", "Executor")] == replicas
    with service.client() as client:
        assert client.post("/v1/solve", json={"question": "What is 3 + 4?"}).json()["answer"] == "7"
    assert httpx.get(f"{service.url}/healthz").json()["status"] == "ok"


def test_it_listens_on_loopback_only(service: Service) -> None:
    inodes = {socket for pid in service.processes() for socket in _sockets(pid)}
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert listening and set(listening) <= loopback


def _sockets(pid: int) -> set[str]:
    """The inodes of the sockets that a process holds; it, or any of them, may go while they are read."""
    found: set[str] = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found |= set(re.findall(r"^socket:\[(\d+)\]$", os.readlink(link)))
    return found


def test_ctrl_c_finishes_what_is_under_way_and_ends_everything_it_started(service: Service) -> None:
    before = service.processes()
    assert len(before) > 3

    body = {"question": "Who is last?", "model": service.students[1], "samples": 32, "max_tokens": 1024, "stream": True}
    with service.client() as client, client.stream("POST", "/v1/solve", json=body) as reply:
        lines = reply.iter_lines()
        assert next(lines) == "event: accepted"
        service.process.send_signal(signal.SIGINT)
        assert "event: answer" in list(lines)
    assert service.process.wait(60) == 0
    end = time.monotonic() + 20
    while (left := before & _alive(before)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left
    assert not service.processes()
    assert "Traceback" not in service.output.read_text()


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}
