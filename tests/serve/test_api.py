"""The HTTP contract, checked without Ray: a backend that repeats the question stands in for the deployments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from serve_backend import Echo, call, failure, solve

from pad_ray import __version__
from pad_ray.thoughts import chain, equation, program, socratic
from serve.schema import (
    MAX_BODY_BYTES,
    MAX_PROGRAMS,
    MAX_QUESTION_CHARS,
    MAX_QUESTIONS,
    MAX_REPAIRS,
    MAX_SAMPLES,
    MAX_TOKENS,
)


def test_a_question_gets_an_answer_with_the_fields_of_the_record() -> None:
    reply = solve({"question": "How many?"})
    assert reply.status_code == 200
    assert reply.json() == {
        "id": "answer-1",
        "answer": "How many?",
        "outcome": "ok",
        "program": "p",
        "steps": [{"code": "p", "state": "ran"}],
        "votes": {"x": 1},
        "tokens": 9,
        "seconds": 0.5,
        "detail": "",
    }


def test_health_says_what_each_student_writes() -> None:
    backend = Echo()
    backend.thoughts = (socratic, (program, equation, chain))
    small, large = call("GET", "/healthz", backend=backend).json()["writes"].values()
    assert (small["forms"], small["several"], small["concluded"]) == (["socratic"], "dialogues", "read")
    assert (large["forms"], large["one"], large["by_line"]) == (["program", "equation", "chain"], "solution", False)


@pytest.mark.parametrize(
    ("settings", "kind", "samples"),
    [
        ({}, "greedy", 1),
        ({"samples": 8}, "vote", 8),
        ({"samples": 4, "decode": "vote"}, "vote", 4),
        ({"decode": "greedy"}, "greedy", 1),
        ({"decode": "repair"}, "greedy", 1),
        ({"decode": "beam"}, "beam", 1),
    ],
)
def test_more_than_one_sample_is_a_vote(settings: dict, kind: str, samples: int) -> None:
    backend = Echo()
    assert solve({"question": "q", **settings, "max_tokens": 50}, backend=backend).status_code == 200
    [ask] = backend.asks
    assert (ask.decode.kind, ask.decode.samples, ask.decode.max_tokens) == (kind, samples, 50)


@pytest.mark.parametrize(
    ("settings", "beams", "continuations", "repairs"),
    [
        ({"decode": "beam"}, 4, 4, 0),
        ({"decode": "beam", "beams": 2, "continuations": 8, "repairs": 1}, 2, 8, 1),
        ({"decode": "repair"}, 4, 4, 2),
        ({"samples": 3, "repairs": 4}, 4, 4, 4),
    ],
)
def test_beams_and_repairs_are_asked_for(settings: dict, beams: int, continuations: int, repairs: int) -> None:
    backend = Echo()
    assert solve({"question": "q", **settings}, backend=backend).status_code == 200
    decode = backend.asks[0].decode
    assert (decode.beams, decode.continuations, decode.repairs) == (beams, continuations, repairs)


def test_a_batch_is_answered_in_order() -> None:
    reply = call("POST", "/v1/solve/batch", json={"questions": ["a", "b", "c"], "samples": 2})
    assert [answer["answer"] for answer in reply.json()["answers"]] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "question"),
        ({"question": ""}, "question"),
        ({"question": " \n"}, "question"),
        ({"question": 7}, "question"),
        ({"question": None}, "question"),
        ({"question": "x" * (MAX_QUESTION_CHARS + 1)}, "question"),
        ({"question": "q", "samples": 0}, "samples"),
        ({"question": "q", "samples": MAX_SAMPLES + 1}, "samples"),
        ({"question": "q", "samples": "3"}, "samples"),
        ({"question": "q", "samples": True}, "samples"),
        ({"question": "q", "samples": 1.5}, "samples"),
        ({"question": "q", "max_tokens": MAX_TOKENS + 1}, "max_tokens"),
        ({"question": "q", "decode": "magic"}, "decode"),
        ({"question": "q", "decode": "greedy", "samples": 2}, None),
        ({"question": "q", "decode": "repair", "samples": 2}, None),
        ({"question": "q", "decode": "beam", "samples": 2}, None),
        ({"question": "q", "beams": 2}, None),
        ({"question": "q", "decode": "beam", "beams": MAX_SAMPLES, "continuations": 2}, None),
        ({"question": "q", "repairs": MAX_REPAIRS + 1}, "repairs"),
        ({"question": "q", "temprature": 1}, "temprature"),
        (["q"], None),
        ("q", None),
        (None, None),
    ],
)
def test_a_body_that_breaks_the_schema_is_refused_and_the_field_is_named(body: Any, param: str | None) -> None:
    reply = solve(body)
    assert reply.status_code == 422
    error = failure(reply)
    assert (error["type"], error["param"]) == ("invalid_request", param)
    assert error["message"]


@pytest.mark.parametrize(
    "questions", [[], "q", [""], ["q", 7], ["q"] * (MAX_QUESTIONS + 1), ["x" * (MAX_QUESTION_CHARS + 1)]]
)
def test_a_batch_outside_its_limits_is_refused(questions: Any) -> None:
    reply = call("POST", "/v1/solve/batch", json={"questions": questions})
    assert reply.status_code == 422 and failure(reply)["param"].startswith("questions")


def test_the_programs_of_one_request_are_bounded() -> None:
    questions = ["q"] * (MAX_PROGRAMS // MAX_SAMPLES)
    assert call("POST", "/v1/solve/batch", json={"questions": questions, "samples": MAX_SAMPLES}).status_code == 200
    for settings in ({"samples": MAX_SAMPLES}, {"decode": "beam", "beams": MAX_SAMPLES, "continuations": 1}):
        reply = call("POST", "/v1/solve/batch", json={"questions": [*questions, "q"], **settings})
        assert reply.status_code == 422 and str(MAX_PROGRAMS) in failure(reply)["message"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe\x00", b'{"question": "q"', b"[" * 100_000, b'{"question": ' + b"9" * 5000 + b"}", b"NaN"],
)
def test_a_body_that_is_not_json_is_the_clients_fault(raw: bytes) -> None:
    reply = call("POST", "/v1/solve", content=raw, headers={"Content-Type": "application/json"})
    assert 400 <= reply.status_code < 500
    failure(reply)


@pytest.mark.parametrize("raw", [r'{"question": "\ud800"}', r'{"question": "q", "\udfff": 1}'])
def test_half_characters_are_refused_not_stumbled_over(raw: str) -> None:
    reply = call("POST", "/v1/solve", content=raw, headers={"Content-Type": "application/json"})
    assert reply.status_code == 422
    failure(reply)


def test_a_body_without_its_content_type_is_told_so() -> None:
    reply = call("POST", "/v1/solve", content=b'{"question": "q"}')
    assert reply.status_code == 422 and "Content-Type: application/json" in failure(reply)["message"]


def test_bodies_over_the_limit_are_refused_whether_they_say_their_length_or_not() -> None:
    big = json.dumps({"question": "x" * MAX_BODY_BYTES}).encode()

    async def trickle():
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    headers = {"Content-Type": "application/json"}
    for content in (big, trickle()):
        reply = call("POST", "/v1/solve", content=content, headers=headers)
        assert reply.status_code == 413 and failure(reply)["type"] == "too_large"


def test_a_full_service_says_when_to_come_back() -> None:
    reply = solve({"question": "full"})
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "3")
    assert failure(reply)["type"] == "unavailable"


def test_a_failure_inside_shows_nothing_of_the_inside() -> None:
    reply = solve({"question": "broken"})
    assert reply.status_code == 500 and failure(reply)["type"] == "internal"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/v1/solve", 405)])
def test_wrong_addresses_get_an_error_of_the_same_shape(method: str, path: str, status: int) -> None:
    reply = call(method, path)
    assert reply.status_code == status
    failure(reply)


def test_health_tells_the_sandbox_level_the_students_and_the_version() -> None:
    programs = {"forms": ["program"], "one": "program", "several": "programs", "concluded": "executed", "by_line": True}
    assert call("GET", "/healthz").json() == {
        "status": "ok",
        "sandbox": {"level": "strict"},
        "engine": "parrot",
        "student": "small",
        "students": ["small", "org/large"],
        "writes": dict.fromkeys(["small", "org/large"], programs),
        "version": __version__,
    }


def test_health_is_not_ok_where_the_sandbox_is_less_than_strict() -> None:
    assert call("GET", "/healthz", backend=Echo(level="degraded")).json()["status"] == "degraded"


def test_a_student_is_asked_by_its_name_and_the_first_one_without() -> None:
    backend = Echo()
    for settings, name in (({}, "small"), ({"model": "org/large"}, "org/large")):
        assert solve({"question": "q", **settings}, backend=backend).status_code == 200
        assert backend.asked.pop() == name
    reply = solve({"question": "q", "model": "unheard-of"}, backend=backend)
    assert (reply.status_code, failure(reply)["param"]) == (404, "model")


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", "secret-token", "Basic secret-token"])
def test_with_a_token_nothing_is_answered_to_those_without_it(given: str | None) -> None:
    backend = Echo()
    headers = {"Authorization": given} if given is not None else {}
    for path in ("/metrics", "/v1/models", "/v1/models/small"):
        assert call("GET", path, token="secret-token", headers=headers).status_code == 401
    for body in ({"question": "q"}, {"nonsense": 1}):
        reply = solve(body, backend=backend, token="secret-token", headers=headers)
        assert reply.status_code == 401 and reply.headers["WWW-Authenticate"] == "Bearer"
        assert failure(reply)["type"] == "unauthorized"
    assert backend.asks == []


def test_with_a_token_its_bearer_is_answered_and_health_stays_open() -> None:
    headers = {"Authorization": "Bearer secret-token"}
    assert solve({"question": "q"}, token="secret-token", headers=headers).status_code == 200
    assert call("GET", "/metrics", token="secret-token", headers=headers).status_code == 200
    assert call("GET", "/healthz", token="secret-token").status_code == 200
    assert call("GET", "/", token="secret-token").status_code == 200
