"""Events over HTTP: in order, one by one, refused by status before they begin, and ended by a client that leaves."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx
import pytest
from serve_backend import Echo, call, failure, listening, solve

from serve import sse


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_the_steps_come_before_the_answer_which_is_that_of_a_plain_request() -> None:
    reply = solve({"question": "How many?", "stream": True})
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    found = events(reply.text)
    assert [name for name, _ in found] == ["accepted", "program", "step", "answer"]
    assert found[-1][1] == solve({"question": "How many?"}).json()


def test_a_stream_that_is_not_let_in_is_refused_by_its_status() -> None:
    reply = solve({"question": "full", "stream": True})
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "3")
    assert failure(reply)["type"] == "unavailable"


@pytest.mark.parametrize(("question", "kind"), [("broken later", "internal"), ("busy later", "unavailable")])
def test_what_fails_on_the_way_is_the_last_event_and_shows_nothing_of_the_inside(question: str, kind: str) -> None:
    reply = solve({"question": question, "stream": True})
    name, body = events(reply.text)[-1]
    assert (name, body["error"]["type"]) == ("error", kind) and "secret" not in reply.text


def test_while_nothing_happens_there_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SILENCE_SECONDS", 0.05)
    body = {"question": "for ever", "stream": True}
    with listening(Echo()) as url, httpx.stream("POST", f"{url}/v1/solve", json=body) as reply:
        lines = (line for line in reply.iter_lines() if line)
        assert next(lines) == "event: accepted" and next(lines).startswith("data: ")
        assert [next(lines), next(lines)] == [": still at work"] * 2


def test_a_client_that_leaves_ends_the_work() -> None:
    backend = Echo()
    with listening(backend) as url:
        with httpx.stream("POST", f"{url}/v1/solve", json={"question": "for ever", "stream": True}) as reply:
            lines = reply.iter_lines()  # kept: its end, whenever it is collected, would be that of the connection
            assert next(lines) == "event: accepted"
            assert backend.watched == 1
        wait_until(lambda: backend.watched == 0)
        wait_until(lambda: [visit.status for visit in backend.visits] == [499])


def test_streams_do_not_wait_for_each_other() -> None:
    body = {"question": "for ever", "stream": True}
    with listening(Echo()) as url, httpx.stream("POST", f"{url}/v1/solve", json=body) as held:
        lines = held.iter_lines()
        assert next(lines) == "event: accepted"
        assert httpx.post(f"{url}/v1/solve", json={"question": "q", "stream": True}).status_code == 200


def test_the_access_log_knows_of_a_request_what_it_cost_but_not_what_was_asked() -> None:
    backend = Echo()
    for stream in (False, True):
        call("POST", "/v1/solve", backend=backend, json={"question": "my secret", "samples": 4, "stream": stream})
    call("POST", "/v1/solve", backend=backend, json={"question": ""})
    call("GET", "/v1/models/unheard-of", backend=backend)
    plain, streamed, refused, lost = backend.visits
    assert (plain.method, plain.path, plain.route, plain.status) == ("POST", "/v1/solve", "/v1/solve", 200)
    for visit, stream in ((plain, False), (streamed, True)):
        cost = {"model": "small", "samples": 4, "stream": stream, "outcomes": ["ok"], "tokens": 9}
        assert visit.notes == cost and visit.seconds >= 0
    assert (refused.status, refused.notes) == (422, {})
    assert (lost.status, lost.route) == (404, "/v1/models/{name:path}")
    assert "my secret" not in str(backend.visits)


def test_questions_are_logged_where_the_service_is_told_to() -> None:
    backend = Echo()
    with listening(backend, log_questions=True) as url:
        httpx.post(f"{url}/v1/solve", json={"question": "How many?"})
    assert backend.visits[0].notes["questions"] == ["How many?"]


def test_a_failure_is_logged_as_one() -> None:
    backend = Echo()
    solve({"question": "broken"}, backend=backend)
    assert [visit.status for visit in backend.visits] == [500]


def test_what_the_gate_turned_away_is_logged_too() -> None:
    backend = Echo()
    solve({"question": "q"}, backend=backend, token="t")
    assert [(visit.status, visit.notes) for visit in backend.visits] == [(401, {})]


def wait_until(true: Any) -> None:
    """For what happens in another thread."""
    assert threading.current_thread() is threading.main_thread()
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    assert true()
