"""Students as GGUF files in the cache, written once; what llama.cpp reads when a folder is named."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pad_ray.students.gguf_export import export_gguf
from pad_ray.students.sources import cache_folder

RELEASE = 1
"""Raised whenever the export writes other files than before."""
_PARTS = ("config.json", "tokenizer*", "*.jinja", "*.safetensors", "pytorch_model*")


def gguf_of(student_dir: str | Path) -> Path:
    """The GGUF file of a student folder in f16, from the cache or written now; equal weights share one.

    Any of these files may be deleted at any time. Raises what `export_gguf` raises.
    """
    target = cache_folder().parent / "gguf" / f"{_hash(Path(student_dir))}-{RELEASE}.gguf"
    if not target.is_file():
        export_gguf(student_dir, target)
    return target


def _hash(folder: Path) -> str:
    """Sixteen hex digits of all that the file is made of."""
    digest = hashlib.sha256()
    for path in sorted({path for part in _PARTS for path in folder.glob(part)}):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]
