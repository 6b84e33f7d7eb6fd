"""S3 as pad_ray sees it: a prefix in a bucket, one client for each server, and failures in a sentence."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from pad_ray.errors import StorageError

PATIENCE = 12
"""Attempts at a request before it counts as failed; with the pauses between them about a minute."""
FIRST_LOOK = 3
"""Attempts at the first request of a command, which is there to find mistakes."""

_CREDENTIALS = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401", "403"}
)
_CHECK_KEYS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; they need to list, get, put and delete there."
_CHECK_SERVER = "Check storage.s3_endpoint or AWS_ENDPOINT_URL, and the network; nothing is lost."


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix, or the key of an object, in a bucket."""

    bucket: str
    key: str
    """Without slashes at its ends; empty is the whole bucket."""
    endpoint: str
    """URL of the server as the user gave it; empty: what the environment says, else AWS."""

    def __str__(self) -> str:
        query = f"?{urlencode({'endpoint': self.endpoint}, safe='/:')}" if self.endpoint else ""
        return f"{self.plain}{query}"

    @property
    def plain(self) -> str:
        """Without the server."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def server(self) -> str:
        """URL of the server, or empty for AWS."""
        return self.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.key)

    @property
    def parent(self) -> Place:
        """The folder it is in."""
        return replace(self, key=posixpath.dirname(self.key))

    def inside(self, name: str) -> Place:
        """A file or folder in it."""
        return replace(self, key=posixpath.normpath(f"{self.key}/{name}").strip("/"))


def is_s3(uri: str | Path) -> bool:
    """Whether something is named by an s3:// URI."""
    return str(uri).startswith("s3://")


def place_of(uri: str, endpoint: str = "") -> Place:
    """Take an s3:// URI apart; what it says of the server goes before `endpoint`. Raises StorageError."""
    path, _, query = uri.removeprefix("s3://").partition("?")
    bucket, _, key = path.partition("/")
    asked = parse_qs(query)
    if not bucket or asked.keys() - {"endpoint"}:
        raise StorageError(f"{uri!r} is no place in S3.", hint="Its form is s3://BUCKET/PREFIX or …?endpoint=URL.")
    server = asked.get("endpoint", [endpoint])[0]
    if server and not server.startswith(("http://", "https://")):
        raise StorageError(f"the S3 endpoint {server!r} is no URL.", hint="Its form is http://HOST:PORT.")
    return Place(bucket, posixpath.normpath(f"/{key}").strip("/"), server.rstrip("/"))


@cache
def client(server: str, attempts: int = PATIENCE) -> Any:
    """The client for a server, which repeats what fails for a passing reason. Threads may share it."""
    import boto3
    from botocore.config import Config

    # Servers other than AWS know neither host names with buckets nor checksums that are not asked for.
    simple = {
        "s3": {"addressing_style": "path"},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    config: Any = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        **(simple if server else {}),
    )
    return boto3.Session().client("s3", endpoint_url=server or None, config=config)


@contextmanager
def plainly(doing: str, place: Place) -> Iterator[None]:
    """Whatever boto3 raises in the block becomes a StorageError that says what failed where, and why."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _refusal(f"cannot {doing} {place.plain}", place, error) from error
    except (BotoCoreError, Boto3Error, HTTPError) as error:  # the last where the body of a refusal or a list is cut
        raise _failure(f"cannot {doing} {place.plain}", place, error) from error


def code_of(error: Any) -> str:
    """The server's code for why it refused, such as NoSuchKey; its HTTP status where it gave none."""
    return str(error.response.get("Error", {}).get("Code") or status_of(error))


def status_of(error: Any) -> int:
    """The HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _refusal(what: str, place: Place, error: Any) -> StorageError:
    code, message = code_of(error), error.response.get("Error", {}).get("Message", "")
    said = f"{code}{f', {message}' if message and message != code else ''}".rstrip(".")
    if code == "NoSuchBucket":
        return StorageError(
            f"{what}: there is no bucket {place.bucket!r} at {place.server or 'AWS'}.",
            hint="Create it, or check its name and storage.s3_endpoint.",
        )
    if code in _CREDENTIALS:
        return StorageError(f"{what}: the server refuses these credentials ({said}).", hint=_CHECK_KEYS)
    tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    after = f" after {tries} attempts" if tries > 1 else ""
    return StorageError(f"{what}: the server said {said}{after}.", hint="The same command resumes; nothing is lost.")


def _failure(what: str, place: Place, error: Exception) -> StorageError:
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import NoCredentialsError, PartialCredentialsError

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(f"{what}: there are no credentials for S3.", hint=_CHECK_KEYS)
    if isinstance(error, NoConnection):
        return StorageError(f"{what}: nobody answers at {place.server or 'AWS'}.", hint=_CHECK_SERVER)
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StorageError(f"{what}: {said.rstrip('.')}.", hint=_CHECK_SERVER)
