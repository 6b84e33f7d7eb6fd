"""A run folder on a file system: whole files, each atomic by a rename within its folder."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pad_ray.errors import StorageError


class Folder:
    """Files under one folder; what each method promises is said in `Storage`."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()

    def __str__(self) -> str:
        return str(self.root)

    def where(self, name: str) -> str:
        return str(self.root / name)

    def check(self) -> None:
        pass  # the first write says what is wrong with a folder

    def get(self, name: str) -> bytes | None:
        path = self.root / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}.") from error

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def write(self, name: str, data: bytes) -> None:
        with writing(self.root / name) as temporary:
            temporary.write_bytes(data)

    def create(self, name: str, data: bytes) -> bool:
        target = self.root / name
        with _temporary(target) as temporary:
            temporary.write_bytes(data)
            _sync(temporary)
            return _link(temporary, target)

    def swap(self, name: str, old: bytes, new: bytes) -> bool:
        # By renaming the old file aside, which only one of several succeeds in. Whoever was slow and caught the new
        # file of a faster one puts it back.
        target = self.root / name
        aside = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
        with _temporary(target) as temporary:
            temporary.write_bytes(new)
            _sync(temporary)
            try:
                target.rename(aside)
            except FileNotFoundError:
                return False
            same = aside.read_bytes() == old
            placed = _link(temporary if same else aside, target)
            aside.unlink()
        return same and placed

    def names(self, folder: str, suffix: str) -> list[str]:
        base = self.root / folder
        if not base.is_dir():
            return []
        return sorted(
            f"{folder}/{entry.name}" for entry in base.iterdir() if entry.name.endswith(suffix) and entry.is_file()
        )

    def delete(self, name: str) -> None:
        target = self.root / name
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        return self.root / name

    def arrow(self, name: str) -> tuple[str, Any]:
        return str(self.root / name), None

    def fetch(self, name: str) -> Path:
        return self.root / name

    def publish(self, name: str) -> None:
        pass  # it lies where it belongs

    def published(self, folder: str) -> list[str]:
        base = self.root / folder
        if not base.is_dir():
            return []
        return sorted(
            f"{folder}/{entry.name}" for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith(".")
        )


@contextmanager
def writing(target: Path) -> Iterator[Path]:
    """A temporary file beside `target`, renamed over it (same file system, hence atomic) when the block ends well.

    Raises StorageError for what the file system refuses.
    """
    with _temporary(target) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(target)


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o644)
        yield temporary
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _link(path: Path, target: Path) -> bool:
    with suppress(FileExistsError):
        os.link(path, target)
        return True
    return False


def _sync(path: Path) -> None:
    # Without it a power cut may leave the new name with no content.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def cannot_write(target: Path, error: OSError) -> StorageError:
    """What the user is told when the file system refuses a write."""
    return StorageError(
        f"cannot write {target}: {error.strerror or error}.",
        hint="Check the rights and the free space, or choose another --run-dir.",
    )
