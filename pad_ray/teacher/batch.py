"""Teacher `batch`: a provider's batch API in the OpenAI shape. Files of requests, answered within a day, at its prices.

Here is one batch: the lines of its input, the calls about it, and what its output says of each request. When batches
are made, remembered and read is said in `flow.batching`. No call is repeated here: whoever calls knows what it means
when an answer was lost on its way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pad_ray.errors import TeacherError
from pad_ray.records import Request
from pad_ray.teacher.failure import Failure, Fate, of_status, shorten
from pad_ray.teacher.reply import LIMITS, Reply, body, read

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""What one input file may hold."""
_URL = "/v1/chat/completions"
_ENDED = ("completed", "expired", "cancelled", "failed")
_PAGE = 100


class Unanswered(TeacherError):
    """The provider did not answer this time, or asked for patience; what was asked may have been done or not."""


class Gone(TeacherError):
    """The provider does not know what it was asked about."""


class Batch(NamedTuple):
    """One batch, as its provider describes it."""

    batch_id: str
    status: str
    done: int
    """Requests that were answered or failed."""
    total: int
    files: tuple[str, ...]
    """Its output, and its errors."""
    errors: tuple[tuple[str, str], ...]
    """Code and message of why it was refused as a whole."""
    seconds: float
    """From its creation to its end."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _ENDED


class Row(NamedTuple):
    """What became of one request of a batch."""

    sample_id: str
    result: Reply | Failure
    other_limit: bool = False
    """The model wants the limit on its tokens under the other name of `reply.LIMITS`."""


def line(request: Request, limit: str) -> bytes:
    """A request as a line of an input file; `limit` is what the model calls the limit on a reply's tokens."""
    head = json.dumps({"custom_id": request.sample_id, "method": "POST", "url": _URL})
    return f'{head[:-1]}, "body": '.encode() + body(request, limit) + b"}\n"


def cut(requests: Iterable[Request], most: int = MOST_REQUESTS, most_bytes: int = MOST_BYTES) -> list[list[Request]]:
    """Requests by model, in lists that fit into one input file each."""
    parts: list[list[Request]] = []
    size = 0
    for request in sorted(requests, key=lambda request: request.model):
        added = len(line(request, LIMITS[1]))
        last = parts[-1] if parts else []
        if not last or last[0].model != request.model or len(last) == most or size + added > most_bytes:
            parts.append(last := [])
            size = 0
        last.append(request)
        size += added
    return parts


def rows(lines: Iterable[bytes]) -> list[Row]:
    """What output and error files say, request by request; what is no such line says nothing."""
    told = [row for row in map(_told, lines) if row is not None]
    answered = any(response.get("status_code") == 200 for _, response, _ in told)
    return [_row(*row, answered=answered) for row in told]


class BatchClient:
    """Calls about batches. All of them raise Unanswered, or TeacherError where every further call would fail too."""

    def __init__(self, base_url: str, key: str, *, timeout_s: float) -> None:
        """An empty key is sent as EMPTY. Raises TeacherError for what cannot be a URL or a key."""
        # Slow to import, and only runs of this kind need it.
        import httpx2
        import openai

        from pad_ray.teacher.endpoint import CONNECT_S, plain_url, sendable

        self.url = plain_url(base_url)
        self._secrets = [secret for secret in (key.strip(), urlsplit(base_url).password) if secret]
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=sendable(key.strip()) or "EMPTY",
            max_retries=0,
            timeout=httpx2.Timeout(timeout_s, connect=CONNECT_S),
        )

    def create(self, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        """Upload an input file and make a batch of it; returns the batch's id."""
        with self._asking("the upload of requests"):
            file = self._client.files.create(file=(name, data, "application/jsonl"), purpose="batch")
        with self._asking("the creation of a batch"):
            batch = self._client.batches.create(
                input_file_id=file.id, endpoint=_URL, completion_window="24h", metadata=dict(metadata)
            )
        return batch.id

    def find(self, metadata: Mapping[str, str], since: float) -> str | None:
        """The id of the batch that was created with this metadata after a time, if there is one."""
        with self._asking("the list of batches"):
            for batch in self._client.batches.list(limit=_PAGE):
                if dict(batch.metadata or {}) == metadata:
                    return batch.id
                # The newest come first.
                if batch.created_at < since:
                    return None
        return None

    def look(self, batch_id: str) -> Batch:
        """How far a batch is."""
        with self._asking(f"batch {batch_id}"):
            told = self._client.batches.retrieve(batch_id)
        counts, errors = told.request_counts, told.errors
        end = told.completed_at or told.expired_at or told.cancelled_at or told.failed_at
        return Batch(
            told.id,
            told.status,
            counts.completed + counts.failed if counts else 0,
            counts.total if counts else 0,
            tuple(name for name in (told.output_file_id, told.error_file_id) if name),
            tuple((one.code or "", one.message or "") for one in (errors.data or []) if errors) if errors else (),
            float(end - told.created_at) if end else 0.0,
        )

    def lines(self, batch: Batch) -> list[bytes]:
        """The lines of its output and error files."""
        found: list[bytes] = []
        for name in batch.files:
            with self._asking(f"file {name} of batch {batch.batch_id}"):
                found += self._client.files.content(name).content.splitlines()
        return found

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            answer = error.response
            failure = of_status(answer.status_code, answer.headers, answer.text, answered=False, now=time.time())
            told = self._scrubbed(f"{what} at {self.url}: {failure.sentence}.")
            if failure.fate is Fate.AGAIN:
                raise Unanswered(told) from None
            kind = Gone if answer.status_code in (404, 410) else TeacherError
            raise kind(told, hint=failure.mend) from None
        # A body that is no JSON, or a connection that broke.
        except (openai.APIError, httpx2.HTTPError, ValueError) as error:
            why = shorten(str(error.__cause__ or error)) or type(error).__name__
            raise Unanswered(self._scrubbed(f"{what} at {self.url}: {why}.")) from None

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _told(data: bytes) -> tuple[str, dict[str, Any], dict[str, Any]] | None:
    """Id, response and error of a line."""
    try:
        told = json.loads(data)
        sample_id, response, error = told["custom_id"], told.get("response") or {}, told.get("error") or {}
        return str(sample_id), dict(response), dict(error)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _row(sample_id: str, response: dict[str, Any], error: dict[str, Any], *, answered: bool) -> Row:
    content = json.dumps(response.get("body"))
    status = response.get("status_code")
    if status == 200:
        return Row(sample_id, read(content.encode()))
    if not isinstance(status, int):
        told = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
        return Row(sample_id, Failure(shorten(told) or "the batch holds neither a reply nor an error", billed=False))
    failure = of_status(status, {}, content, answered=answered, now=0.0)
    inner = (response.get("body") or {}).get("error") if isinstance(response.get("body"), dict) else None
    refused = inner if isinstance(inner, dict) else {}
    return Row(sample_id, failure, refused.get("code") == "unsupported_parameter" and refused.get("param") == LIMITS[0])
