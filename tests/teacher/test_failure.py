"""What a refused call means for its request, and for all others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.teacher.failure import Fate, of_status, retry_after

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def fate(status: int, *, code: str = "", answered: bool = False) -> Fate:
    content = json.dumps({"error": {"message": "No.", "code": code}})
    return of_status(status, {}, content, answered=answered, now=NOW).fate


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    assert fate(status) is fate(status, answered=True) is Fate.AGAIN


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_request_that_cannot_be_answered_fails_alone(status: int) -> None:
    assert fate(status) is fate(status, answered=True) is Fate.ALONE


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "", "OPENAI_API_KEY"),
        (403, "", "OPENAI_API_KEY"),
        (402, "", "credit"),
        (429, "insufficient_quota", "credit"),
        (404, "model_not_found", "teacher.model"),
        (405, "", "teacher.base_url"),
        (302, "", "teacher.base_url"),
        (400, "unsupported_parameter", "recipe key"),
    ],
)
def test_a_teacher_that_never_answered_and_would_refuse_everything_stops_all(status: int, code: str, said: str) -> None:
    content = json.dumps({"error": {"message": "No.", "code": code}})
    failure = of_status(status, {}, content, answered=False, now=NOW)
    assert failure.fate is Fate.ALL
    assert said in failure.mend


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_teacher_that_answered_before_may_come_back(status: int) -> None:
    assert fate(status, answered=True) is Fate.AGAIN


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:12:50 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(told: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": told}, NOW) == seconds


@given(st.text())
def test_any_error_body_and_any_retry_after_are_read_without_an_error(text: str) -> None:
    failure = of_status(503, {"retry-after": text}, text, answered=False, now=NOW)
    assert failure.sentence.startswith("HTTP 503")
    assert "\n" not in failure.sentence
    assert len(failure.sentence) < 400


@pytest.mark.parametrize(
    "content",
    [
        '{"error": {"message": "The engine is down."}}',
        '{"error": "The engine is down."}',
        '{"message": "The engine is down."}',
        '{"detail": "The engine is down."}',
        "The engine is down.",
    ],
)
def test_the_words_of_the_server_are_told_in_whatever_shape_they_come(content: str) -> None:
    assert of_status(500, {}, content, answered=True, now=NOW).sentence == "HTTP 500: The engine is down."
