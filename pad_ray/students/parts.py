"""A student of two parts: the solver is the folder itself, the decomposer lies in a sub-folder that its card names."""

from __future__ import annotations

import json
from pathlib import Path

from pad_ray.errors import StudentError
from pad_ray.storage import resolve_uri

DECOMPOSER = "decomposer"
"""Both the key of the card and the name of the sub-folder."""


def decomposer_of(student_dir: str | Path) -> Path | None:
    """The folder of what asks a student's sub-questions; None where one model does all.

    Raises StudentError for a damaged card, and where the folder that it names is not there.
    """
    folder = Path(resolve_uri(str(student_dir)))
    card = folder / "pad_ray.json"
    try:
        name = json.loads(card.read_text(encoding="utf-8")).get(DECOMPOSER) if card.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise StudentError(f"student: {card} is damaged: {error!r}.", hint="Export the student again.") from error
    if name is None:
        return None
    # Of all that a card may say only this: a folder elsewhere would not travel with the student.
    if name != DECOMPOSER or not (folder / DECOMPOSER / "config.json").is_file():
        raise StudentError(
            f"student: {card} says that a decomposer is in {name!r}, and there is none in {folder / DECOMPOSER}.",
            hint="It asks the student's sub-questions; copy the whole folder, its sub-folders too.",
        )
    return folder / DECOMPOSER
