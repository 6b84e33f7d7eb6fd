"""Replies by what was asked, kept for other runs: a folder or a prefix of an object store, one small file a reply.

The name is a hash of model, messages, parameters and k. An entry that is damaged, or that cannot be read, is not
there; one that cannot be written is a reply that is paid for again some day, never a reply that is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor

from pad_ray.errors import StorageError
from pad_ray.records import Request, Sample
from pad_ray.storage import Storage

THREADS = 16
"""Entries that are read or written at once: an object store takes some hundredths of a second for each."""
_FIELDS = ("text", "finish_reason", "model")
_log = logging.getLogger(__name__)


class Cache:
    """Good replies of earlier calls."""

    def __init__(self, storage: Storage) -> None:
        """Raises StorageError if nothing can be written there, before anything is paid for."""
        self._storage = storage
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="cache")
        self._warned = False
        storage.check()
        storage.write("README", b"Replies of teachers by what was asked. Any of these files may be deleted.\n")

    async def get(self, request: Request) -> Sample | None:
        """The kept reply, which costs nothing, or None."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, request)

    async def put(self, request: Request, sample: Sample) -> None:
        """Keep a good reply."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._write, request, sample)

    def _read(self, request: Request) -> Sample | None:
        try:
            entry = self._storage.get(entry_name(request))
        except StorageError as error:
            self._warn(error)
            return None
        digest, _, content = (entry or b"").partition(b"\n")
        if digest != _digest(content):
            return None
        kept = json.loads(content)
        return Sample(request.sample_id, **{key: kept[key] for key in _FIELDS}, cached=True, attempts=0)

    def _write(self, request: Request, sample: Sample) -> None:
        content = json.dumps({key: getattr(sample, key) for key in _FIELDS}).encode()
        try:
            self._storage.write(entry_name(request), _digest(content) + b"\n" + content)
        except StorageError as error:
            self._warn(error)

    def _warn(self, error: StorageError) -> None:
        if not self._warned:
            self._warned = True
            _log.warning("teacher.cache: %s Replies go on without it where it fails.", error)


def entry_name(request: Request) -> str:
    """Where the reply to a request is kept: two hex digits, a slash, and the hash."""
    asked = [
        request.model,
        [[message.role, message.content] for message in request.messages],
        request.temperature,
        request.max_tokens,
        request.seed,
        request.k,
    ]
    name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    return f"{name[:2]}/{name}"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
