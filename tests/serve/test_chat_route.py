"""The official client of the OpenAI API takes this service for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from serve_backend import Echo, call, failure, listening

from serve.schema import MAX_QUESTION_CHARS

QUESTION: list[Any] = [
    {"role": "system", "content": "You are a poet."},
    {"role": "user", "content": "Something else"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": [{"type": "text", "text": "How "}, {"type": "text", "text": "many?"}]},
]


@pytest.fixture
def backend() -> Echo:
    return Echo()


@pytest.fixture
def client(backend: Echo) -> Iterator[openai.OpenAI]:
    with listening(backend, token="a-token") as url:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="a-token", max_retries=0) as client:
            yield client


def ask(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_the_last_message_is_answered_with_the_value_and_the_work_stands_beside_it(
    client: openai.OpenAI, backend: Echo
) -> None:
    reply = client.chat.completions.create(model="small", messages=QUESTION, seed=7, max_completion_tokens=50, user="u")
    [choice] = reply.choices
    assert (choice.message.content, choice.message.role, choice.finish_reason) == ("How many?", "assistant", "stop")
    assert (reply.model, reply.object) == ("small", "chat.completion")
    usage = reply.usage
    assert usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (21, 9, 30)
    extra = reply.model_extra or {}
    assert extra["pad_ray"]["votes"] == {"x": 1} and (choice.message.model_extra or {})["reasoning_content"] == "p"
    [asked] = backend.asks
    assert (asked.question, asked.seed, asked.decode.kind, asked.decode.max_tokens) == ("How many?", 7, "greedy", 50)


def test_a_stream_has_the_steps_as_reasoning_and_the_value_as_content(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="small", messages=ask("q"), stream=True, stream_options=options))
    assert len({chunk.id for chunk in chunks}) == 1 and {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "q"
    reasoning = [(delta.model_extra or {}).get("reasoning_content", "") for delta in deltas]
    assert "".join(reasoning) == "x = 3  # 3\n"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage and (usage.prompt_tokens, usage.completion_tokens) == (21, 9)


def test_samples_vote(client: openai.OpenAI, backend: Echo) -> None:
    client.chat.completions.create(model="small", messages=ask("q"), temperature=0.9, extra_body={"samples": 8})
    [asked] = backend.asks
    assert (asked.decode.kind, asked.decode.samples, asked.decode.temperature) == ("vote", 8, 0.9)


def test_where_there_is_no_answer_the_content_says_why(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="small", messages=ask("none"))
    assert reply.choices[0].message.content == "No answer. The program raised an exception."


def test_failures_are_the_clients_own_exceptions(client: openai.OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="full") as full:
            client.chat.completions.create(model="small", messages=ask("full"), stream=stream)
        assert full.value.status_code == 503 and full.value.response.headers["Retry-After"] == "3"
        with pytest.raises(openai.NotFoundError, match="unheard-of"):
            client.chat.completions.create(model="unheard-of", messages=ask("q"), stream=stream)
    with pytest.raises(openai.APIError, match="The service failed"):
        list(client.chat.completions.create(model="small", messages=ask("broken later"), stream=True))
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").chat.completions.create(model="small", messages=ask("q"))


def test_the_students_are_listed_as_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["small", "org/large"]
    assert client.models.retrieve("org/large").owned_by == "pad_ray"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("unheard-of")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "hello"}]},
        {"messages": ask(" ")},
        {"messages": ask("x" * (MAX_QUESTION_CHARS + 1))},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
        {"messages": ask("q"), "n": 2},
        {"messages": ask("q"), "tools": []},
        {"messages": ask("q"), "response_format": {"type": "json_object"}},
        {"messages": ask("q"), "temperature": 9},
    ],
)
def test_what_a_student_cannot_do_is_refused_rather_than_ignored(body: dict[str, Any]) -> None:
    reply = call("POST", "/v1/chat/completions", json={"model": "small", **body})
    assert reply.status_code == 422 and failure(reply)["type"] == "invalid_request"
