"""Lines of batch files: what is sent of a request, what fits into a file, and what comes back of each."""

from __future__ import annotations

import json
from typing import Any

from pad_ray.records import Message, Request
from pad_ray.teacher.batch import cut, line, rows
from pad_ray.teacher.failure import Failure, Fate
from pad_ray.teacher.reply import LIMITS, Reply

BODY = {
    "model": "m-1",
    "choices": [{"message": {"role": "assistant", "content": "ans = 2"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3},
}


def request(number: int, model: str = "m", text: str = "1 + 1?") -> Request:
    return Request(f"p/{number}#program.r0.k0", f"p/{number}", 0, (Message("user", text),), model, 0.5, 16, number)


def told(sample_id: str, status: int | None = None, body: Any = None, error: Any = None) -> bytes:
    response = None if status is None else {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "b", "custom_id": sample_id, "response": response, "error": error}).encode()


def refusal(code: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": "No.", "code": code, "param": param}}


def test_a_line_names_its_sample_and_holds_the_chat_that_a_call_would_send() -> None:
    sent = json.loads(line(request(3), LIMITS[1]))
    assert (sent["custom_id"], sent["method"], sent["url"]) == ("p/3#program.r0.k0", "POST", "/v1/chat/completions")
    assert sent["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "1 + 1?"}],
        "temperature": 0.5,
        "max_completion_tokens": 16,
        "seed": 3,
    }


def test_a_file_holds_one_model_and_no_more_requests_or_bytes_than_a_provider_takes() -> None:
    mixed = [request(number, "ab"[number % 2]) for number in range(10)]
    parts = cut(mixed, most=3)
    assert [len(part) for part in parts] == [3, 2, 3, 2]
    assert all(len({one.model for one in part}) == 1 for part in parts)
    assert sorted(one.sample_id for part in parts for one in part) == sorted(one.sample_id for one in mixed)
    large = [request(number, text="x" * 400) for number in range(6)]
    most = 3 * len(line(large[0], LIMITS[1])) + 10
    parts = cut(large, most_bytes=most)
    assert [len(part) for part in parts] == [3, 3]
    assert all(sum(len(line(one, LIMITS[1])) for one in part) <= most for part in parts)
    assert cut([]) == []


def test_replies_failures_and_rows_that_never_ran_are_told_apart() -> None:
    lines = [
        told("good", 200, BODY),
        told("empty", 200, {**BODY, "choices": []}),
        told("long", 400, refusal("context_length_exceeded")),
        told("busy", 429, refusal("rate_limit_exceeded")),
        told("late", None, error={"code": "batch_expired", "message": "It was not run in time."}),
        b"",
        b"[1, 2]",
        b'{"custom_id": "cut", "respon',
    ]
    found = {row.sample_id: row.result for row in rows(lines)}
    assert found.keys() == {"good", "empty", "long", "busy", "late"}
    good, empty = found["good"], found["empty"]
    assert isinstance(good, Reply) and isinstance(empty, Reply)
    assert (good.text, good.model, good.usage) == ("ans = 2", "m-1", (9, 0, 3))
    assert empty.fault and empty.usage == (9, 0, 3)
    fates = {name: result.fate for name, result in found.items() if isinstance(result, Failure)}
    assert fates == {"long": Fate.ALONE, "busy": Fate.AGAIN, "late": Fate.AGAIN}
    assert not any(result.billed for result in found.values() if isinstance(result, Failure))


def test_an_unknown_model_is_about_every_request_only_where_none_was_answered() -> None:
    unknown = told("a", 404, refusal("model_not_found"))
    (alone,) = rows([unknown])
    beside = rows([unknown, told("b", 200, BODY)])[0]
    assert isinstance(alone.result, Failure) and isinstance(beside.result, Failure)
    assert (alone.result.fate, beside.result.fate) == (Fate.ALL, Fate.AGAIN)


def test_the_other_name_of_the_token_limit_is_recognised() -> None:
    old, other = rows(
        [
            told("a", 400, refusal("unsupported_parameter", "max_tokens")),
            told("b", 400, refusal("unsupported_parameter", "seed")),
        ]
    )
    assert (old.other_limit, other.other_limit) == (True, False)
