"""From the recipe's name of a scorer to the scorer, with whatever it needs loaded."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pad_ray.decode.scorers import Alignment, Scorer
from pad_ray.errors import StudentError
from pad_ray.recipe import Decode
from pad_ray.students.embedder import embedder_folder

if TYPE_CHECKING:
    from pad_ray.decode.student_engine import StudentEngine


def load_scorer(decode: Decode, engine: StudentEngine) -> Scorer | None:
    """The scorer that the settings name, for the student of an engine; None where they name none.

    Raises StudentError where it is not there and cannot be fetched, and where the engine keeps its states to itself.
    """
    if decode.scorer == "alignment":
        from pad_ray.decode.embedding import Embedder

        return Alignment(Embedder(embedder_folder(partial(print, file=sys.stderr)), engine.device))
    if decode.scorer == "verifier":
        from pad_ray.decode.transformers_engine import TransformersEngine
        from pad_ray.decode.verifier import Verifier

        if not isinstance(engine, TransformersEngine):
            raise StudentError(
                "decode.scorer is verifier, which reads the states of the student: only transformers shows them.",
                hint="Take engine transformers, or scorer alignment.",
            )
        return Verifier.load(engine, Path(engine.student_dir))
    return None
