"""JSON Lines in: rows with errors that name file and line, and the id of a row."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pad_ray.errors import ProblemError


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a .jsonl or .jsonl.gz file with their places. Raises ProblemError naming file and line."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ProblemError(f"{path}:{number} is not JSON ({error}).") from None
                if not isinstance(row, dict):
                    raise ProblemError(f"{path}:{number} is a JSON {type(row).__name__}, not an object.")
                yield f"{path}:{number}", row
    except FileNotFoundError:
        raise ProblemError(
            f"there is no file {path}.", hint="Check the path; relative ones start at the working folder."
        ) from None
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise ProblemError(f"cannot read {path}: {error}.") from error


def row_id(row: dict[str, Any], *keys: str) -> str | None:
    """The first id that a row holds under one of the keys, as text; 0 is an id, empty text and booleans are none."""
    values = (row.get(key) for key in keys)
    return next((str(value) for value in values if value not in (None, "") and not isinstance(value, bool)), None)
