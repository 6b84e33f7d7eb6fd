"""Problem URIs: where the rows come from.

data/train.jsonl                             one JSON object a line: question, answer, and optionally id, source…
data/train.parquet                           the same keys as columns
data/train.json, data/ASDiv.xml              a document that holds such rows (`documents`)
s3://bucket/train.jsonl                      either of them in a bucket
gym://lcm?size=500&seed=7                    problems made on the spot (`gym`)
hf://openai/gsm8k?config=main&split=train    a dataset of the Hugging Face hub (`hub`)
task://svamp?path=data/svamp.jsonl           a public set in the form in which it is handed around (`tasks`)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pad_ray.errors import ProblemError, StorageError
from pad_ray.jsonl import json_lines
from pad_ray.problems.documents import json_rows, xml_rows
from pad_ray.problems.gym import gym_rows
from pad_ray.problems.hub import hub_rows
from pad_ray.problems.tasks import task_rows
from pad_ray.storage import local_copy
from pad_ray.storage.place import place_of

_FORMS = "a .jsonl, .json or .parquet file (also at s3://), gym://TASK, hf://OWNER/NAME?split=train, or task://NAME?path=FILE"


def rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The raw rows behind a URI, each with a place to name in errors (`file:line`).

    Raises ProblemError, and StorageError for a bucket.
    """
    scheme, mark, _ = uri.partition("://")
    if not mark:
        return _file_rows(uri)
    if scheme == "s3":
        try:
            place_of(uri)
        except StorageError as error:  # a mistake in the URI, and no fault of the server
            raise ProblemError(error.message, hint=error.hint) from None
        return _file_rows(str(local_copy(uri)))
    if scheme == "gym":
        return gym_rows(uri)
    if scheme == "hf":
        return hub_rows(uri)
    if scheme == "task":
        return task_rows(uri, rows)
    raise ProblemError(f"{uri!r} has an unknown scheme {scheme!r}.", hint=f"Problems come from {_FORMS}.")


def _file_rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.endswith((".jsonl", ".jsonl.gz")):
        return json_lines(Path(path))
    if path.endswith(".parquet"):
        return _parquet(Path(path))
    if path.endswith(".json"):
        return json_rows(Path(path))
    if path.endswith(".xml"):
        return xml_rows(Path(path))
    raise ProblemError(f"{path!r} is neither .jsonl, .json nor .parquet.", hint=f"Problems come from {_FORMS}.")


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise ProblemError(f"there is no file {path}.", hint="Check the path.") from None
    except (OSError, pa.ArrowException) as error:
        raise ProblemError(f"cannot read {path}: {error}.") from error
    with file:
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row
