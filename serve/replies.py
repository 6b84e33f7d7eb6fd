"""What the service says when it does not answer: one shape of errors for every route, and in a stream too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from pad_ray.decode.solving import check_decode
from pad_ray.errors import UsageError
from pad_ray.recipe import Decode
from pad_ray.records import Answer
from pad_ray.thoughts.several import Forms
from serve.schema import ErrorBody, ErrorDetail

ERROR_TYPES = {
    400: "bad_request",
    401: "unauthorized",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    422: "invalid_request",
    500: "internal",
    503: "unavailable",
}
INTERNAL = "The service failed on this request; its log says why."


@dataclass(frozen=True, slots=True)
class Replied:
    """An answer, and what of its making the answer does not tell."""

    answer: Answer
    """The answer."""
    prompt_tokens: int
    """Tokens that the student read for it."""


class Unavailable(Exception):
    """Nothing is wrong with the request; it may be sent again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnknownStudent(Exception):
    """A request names a student that is not served."""

    def __init__(self, name: str, students: tuple[str, ...]) -> None:
        shown = name.encode("utf-8", "replace").decode()[:100]
        super().__init__(f"There is no model {shown!r} here, but: {', '.join(students)}.")


class Unfit(Exception):
    """A request asks a student for what it cannot do; the message is for whoever sent it."""


def check(thoughts: Forms, decode: Decode) -> None:
    """Raises Unfit where a student of these forms of reasoning cannot be decoded so."""
    try:
        check_decode(thoughts, decode)
    except UsageError as refused:
        raise Unfit(f"{refused.message} {refused.hint}".strip()) from None


def error(
    status: int, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A reply in the one shape of errors."""
    return JSONResponse(error_body(status, message, param), status_code=status, headers=headers)


def error_body(status: int, message: str, param: str | None = None) -> dict[str, object]:
    """`{error: {type, message, param}}`."""
    detail = ErrorDetail(type=ERROR_TYPES.get(status, "error"), message=message, param=param)
    return ErrorBody(error=detail).model_dump()


def validation_error(failure: RequestValidationError) -> JSONResponse:
    """The first thing wrong with a body, in words for whoever sent it. What they sent is not repeated."""
    first = failure.errors()[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return error(400, f"The body is not JSON: {first['ctx']['error']}.")
    if not place and first["type"] in ("missing", "model_attributes_type"):
        return error(422, "The body must be a JSON object, sent with Content-Type: application/json.")
    param = ".".join(place).encode("utf-8", "replace").decode() or None
    message = str(first["msg"]).removeprefix("Value error, ")
    return error(422, f"{param}: {message}." if param else f"{message}.", param)
