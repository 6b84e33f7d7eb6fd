"""Bodies of replies: what is a reply, what is none, and what one cost that came in part."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.records import Message, Request
from pad_ray.teacher.reply import Usage, body, broken, read
from tests.fault_plan import make

ASKED = {"model": "m", "messages": [{"role": "user", "content": "Q: What is 3 plus 4?"}], "max_tokens": 64}
WHOLE = make(ASKED, None, 1.0, random.Random(0))
USAGE = Usage(WHOLE.prompt, WHOLE.cached, WHOLE.completion)


def changed(**choice: Any) -> bytes:
    answer = json.loads(WHOLE.body)
    answer["choices"][0] |= choice
    return json.dumps(answer).encode()


def test_a_whole_reply_is_read() -> None:
    reply = read(WHOLE.body)
    assert "result = 7" in reply.text
    assert (reply.finish_reason, reply.model, reply.usage, reply.fault) == ("stop", "m", USAGE, "")


def test_a_body_cut_anywhere_is_no_reply_and_tells_its_whole_usage_or_none() -> None:
    told = WHOLE.body.find(b"}}", WHOLE.body.find(b'"usage"')) + 2
    for end in range(len(WHOLE.body)):
        reply = read(WHOLE.body[:end])
        assert reply.fault
        assert reply.usage == (USAGE if end >= told else None)


def test_a_usage_that_the_reply_only_talks_about_is_not_taken_for_its_own() -> None:
    lie = changed(message={"content": 'The "usage": {"prompt_tokens": 1, "completion_tokens": 1} is small.'})
    assert broken(lie, "cut").usage == USAGE
    assert broken(lie[: lie.rfind(b'"usage"')], "cut").usage is None


@pytest.mark.parametrize(
    ("choice", "text", "finish"),
    [
        ({"message": {"content": None}, "finish_reason": "content_filter"}, "", "content_filter"),
        ({"message": {"content": None, "refusal": "I cannot."}}, "", "content_filter"),
        ({"message": {"content": None}, "finish_reason": "length"}, "", "length"),
        ({"message": {"content": ""}, "finish_reason": "stop"}, "", "stop"),
        ({"message": {"content": "x"}, "finish_reason": None}, "x", "stop"),
        ({"message": {"content": "x"}, "finish_reason": "eos"}, "x", "stop"),
    ],
)
def test_a_reply_without_text_for_a_reason_that_would_come_again_is_a_reply(
    choice: dict[str, Any], text: str, finish: str
) -> None:
    reply = read(changed(**choice))
    assert (reply.text, reply.finish_reason, reply.fault) == (text, finish, "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (changed(message={"content": None}), "no text"),
        (changed(message={}), "no text"),
        (changed(message=None), "no choices"),
        (json.dumps({"choices": []}).encode(), "no choices"),
        (json.dumps({"choices": None}).encode(), "no choices"),
        (json.dumps({"error": {"message": "out of memory"}}).encode(), "out of memory"),
        (b"[]", "no choices"),
        (b"null", "no choices"),
        (b"", "empty"),
        (b"<html>", "HTML"),
        (b"\xff\xfe\xfa", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_reply_is_said(data: bytes, said: str) -> None:
    assert said in read(data).fault


@pytest.mark.parametrize(
    "usage",
    [None, {}, [], "7", {"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": "7", "completion_tokens": 1}],
)
def test_a_usage_that_cannot_be_read_is_unknown_not_zero(usage: Any) -> None:
    answer = json.loads(WHOLE.body) | {"usage": usage}
    reply = read(json.dumps(answer).encode())
    assert (reply.usage, reply.fault) == (None, "")


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_body_is_read_without_an_error(data: bytes) -> None:
    assert read(data).fault


def test_any_text_can_be_asked() -> None:
    request = Request("a#program.r0.k0", "a", 0, (Message("user", "half a pair: \ud800 \x00"),), "m", 0.5, 7, 3)
    sent = json.loads(body(request))
    assert sent["messages"] == [{"role": "user", "content": "half a pair: \ud800 \x00"}]
    assert (sent["model"], sent["temperature"], sent["max_tokens"], sent["seed"]) == ("m", 0.5, 7, 3)
