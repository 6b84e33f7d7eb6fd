"""A run folder in an S3 bucket. One object is one file, a PUT is atomic, and a conditional PUT has one winner.

A folder of many files (a model, a training state) is published by its files and then an object that says it is whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pad_ray.errors import StorageError
from pad_ray.storage.mirror import Listing, Mirror
from pad_ray.storage.place import FIRST_LOOK, Place, client, code_of, plainly, status_of

WHOLE = "_complete"
"""The object that is written last into a published folder."""
RETRIES = 8
"""Attempts where the client itself makes none: a reply cut within its body, a conditional write that met another."""

Reply = TypeVar("Reply")


class Bucket:
    """Objects under one prefix; what each method promises is said in `Storage`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._mirror = Mirror(place)

    def __str__(self) -> str:
        return str(self.place)

    def where(self, name: str) -> str:
        return self.place.inside(name).plain

    def check(self) -> None:
        with plainly("use", self.place):
            client(self.place.server, FIRST_LOOK).list_objects_v2(Bucket=self.place.bucket, MaxKeys=1)

    def get(self, name: str) -> bytes | None:
        found = self._get(name)
        return found[0] if found else None

    def exists(self, name: str) -> bool:
        with plainly("look at", self.place.inside(name)):
            return self._head(name) is not None or any(self._pages(f"{self._key(name)}/", MaxKeys=1))

    def write(self, name: str, data: bytes) -> None:
        with plainly("write", self.place.inside(name)):
            self._client.put_object(**self._object(name), Body=data)

    def create(self, name: str, data: bytes) -> bool:
        return self._put_if(name, data, IfNoneMatch="*")

    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        found = self._get(name)
        return found is not None and found[0] == old and self._put_if(name, new, IfMatch=found[1])

    def names(self, folder: str, suffix: str) -> list[str]:
        with plainly("list", self.place.inside(folder)):
            start = f"{self._key(folder)}/"
            keys = [row["Key"] for page in self._pages(start, Delimiter="/") for row in page.get("Contents", ())]
        return sorted(f"{folder}/{key.removeprefix(start)}" for key in keys if key.endswith(suffix) and key != start)

    def delete(self, name: str) -> None:
        with plainly("delete", self.place.inside(name)):
            keys = [self._key(name), *(f"{self._key(name)}/{part}" for part in self._listing(name) if part)]
            self._delete([*keys, f"{self._key(name)}/{WHOLE}"])
        self._mirror.delete(name)

    def path(self, name: str) -> Path:
        return self._mirror.path(name)

    def arrow(self, name: str) -> tuple[str, Any]:
        from pyarrow.fs import S3FileSystem

        server = urlsplit(self.place.server)
        own = {"endpoint_override": server.netloc, "scheme": server.scheme} if server.netloc else {}
        return f"{self.place.bucket}/{self._key(name)}", S3FileSystem(**own)

    def fetch(self, name: str) -> Path:
        with self._mirror.alone(name) as copy:
            with plainly("fetch", self.place.inside(name)):
                there = self._listing(name)
                if not there:
                    raise StorageError(f"cannot fetch {self.where(name)}: there is no such file or folder.")
                for part in copy.outdated(there):
                    with copy.filling(part) as temporary:
                        self._client.download_file(
                            self.place.bucket, f"{self._key(name)}/{part}".rstrip("/"), str(temporary)
                        )
            copy.settle(there)
        return self._mirror.path(name)

    def publish(self, name: str) -> None:
        with self._mirror.alone(name) as copy, plainly("write", self.place.inside(name)):
            source, key = self._mirror.path(name), self._key(name)
            if source.is_file():
                self._client.upload_file(str(source), self.place.bucket, key)
                return
            self._delete([f"{key}/{WHOLE}"])
            parts = [file.relative_to(source).as_posix() for file in sorted(source.rglob("*")) if file.is_file()]
            for part in parts:
                self._client.upload_file(str(source / part), self.place.bucket, f"{key}/{part}")
            self._delete([f"{key}/{part}" for part in self._listing(name).keys() - set(parts)])
            self._client.put_object(**self._object(f"{name}/{WHOLE}"), Body=b"")
            copy.settle(self._listing(name))

    def published(self, folder: str) -> list[str]:
        with plainly("list", self.place.inside(folder)):
            start = f"{self._key(folder)}/"
            keys = [row["Key"].removeprefix(start) for page in self._pages(start) for row in page.get("Contents", ())]
        whole = (key.removesuffix(f"/{WHOLE}") for key in keys if key.endswith(f"/{WHOLE}"))
        return sorted(f"{folder}/{name}" for name in whole if "/" not in name)

    @property
    def _client(self) -> Any:
        return client(self.place.server)

    def _key(self, name: str) -> str:
        return self.place.inside(name).key

    def _object(self, name: str) -> dict[str, str]:
        return {"Bucket": self.place.bucket, "Key": self._key(name)}

    def _get(self, name: str) -> tuple[bytes, str] | None:
        """Content and ETag of an object, or None."""
        from botocore.exceptions import ClientError

        def read() -> tuple[bytes, str] | None:
            try:
                reply = self._client.get_object(**self._object(name))
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    return None
                raise
            return reply["Body"].read(), reply["ETag"]

        with plainly("read", self.place.inside(name)):
            return _steadily(read)

    def _put_if(self, name: str, data: bytes, **condition: str) -> bool:
        """Write an object if the server finds the condition true; returns whether the object is now this one."""
        from botocore.exceptions import ClientError

        with plainly("write", self.place.inside(name)):
            attempt = 0
            while True:
                attempt += 1
                try:
                    self._client.put_object(**self._object(name), Body=data, **condition)
                    return True
                except ClientError as error:
                    # 404: what was to be replaced is gone.
                    if status_of(error) in (404, 412) and code_of(error) != "NoSuchBucket":
                        # The first attempt may have been done, and only its answer lost.
                        return self.get(name) == data
                    if status_of(error) != 409 or attempt == RETRIES:
                        raise
                    _pause(attempt)

    def _head(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            return self._client.head_object(**self._object(name)) if self._key(name) else None
        except ClientError as error:
            if status_of(error) == 404:  # a HEAD has no room for more
                return None
            raise

    def _pages(self, prefix: str, **more: Any) -> Iterator[dict[str, Any]]:
        """The pages of a listing that hold anything."""
        asked = {"Bucket": self.place.bucket, "Prefix": prefix.lstrip("/"), **more}
        while True:
            page = _steadily(lambda: self._client.list_objects_v2(**asked))
            if page.get("KeyCount"):
                yield page
            if not page.get("IsTruncated"):
                return
            asked["ContinuationToken"] = page["NextContinuationToken"]

    def _listing(self, name: str) -> Listing:
        """ETag and size of every object of a folder, by its name in it; of a single object under the empty name."""
        if head := self._head(name):
            return {"": [head["ETag"], head["ContentLength"]]}
        start = f"{self._key(name)}/".lstrip("/")
        rows = {
            row["Key"].removeprefix(start): [row["ETag"], row["Size"]]
            for page in self._pages(start)
            for row in page.get("Contents", ())
        }
        return {part: row for part, row in rows.items() if part not in ("", WHOLE)}

    def _delete(self, keys: list[str]) -> None:
        for start in range(0, len(keys), 1000):  # as many as one request may name
            batch = [{"Key": key} for key in keys[start : start + 1000] if key]
            reply = self._client.delete_objects(Bucket=self.place.bucket, Delete={"Objects": batch, "Quiet": True})
            if failed := reply.get("Errors"):
                raise StorageError(f"cannot delete {failed[0]['Key']} in {self.place.bucket}: {failed[0].get('Code')}.")


def _steadily(call: Callable[[], Reply]) -> Reply:
    """Repeat a call whose reply was cut within its body: the client itself tries again only up to there."""
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError
    from urllib3.exceptions import HTTPError

    for attempt in range(1, RETRIES):
        try:
            return call()
        except (IncompleteReadError, ResponseStreamingError, HTTPError):
            _pause(attempt)
    return call()


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, min(5.0, 0.1 * 2**attempt)))
