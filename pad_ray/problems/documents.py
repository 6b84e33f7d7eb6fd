"""Files that are one document: JSON as StrategyQA, SVAMP, MAWPS and BBH hand it around, and the XML of ASDiv.

JSON   a list of rows, or an object with such a list under `examples` (BIG-bench) or `data`
XML    the elements `Problem`, wherever they are: their attributes and the texts of their elements are a row
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pad_ray.errors import ProblemError

_LISTS = ("examples", "data")
_PROBLEM = "Problem"


def json_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a .json file with their places. Raises ProblemError."""
    try:
        tree: Any = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ProblemError(
            f"{path} is not JSON ({error}).", hint="A file with one object a line is called .jsonl."
        ) from None
    rows: Any = tree
    if isinstance(tree, dict):
        rows = next((tree[key] for key in _LISTS if key in tree), None)
    if not isinstance(rows, list):
        raise ProblemError(
            f"{path} holds no list of rows.", hint=f"It may be a list, or an object with one under {_LISTS[0]!r}."
        )
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ProblemError(f"{path}: item {number} is a JSON {type(row).__name__}, not an object.")
        yield f"{path}: item {number}", row


def xml_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The problems of an .xml file with their places. Raises ProblemError."""
    try:
        tree = ElementTree.fromstring(_read(path))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # of an unknown or wrong encoding
        raise ProblemError(f"{path} is not XML ({error}).") from None
    number = 0
    for number, element in enumerate(tree.iter(_PROBLEM), 1):
        texts = {part.tag: "".join(part.itertext()).strip() for part in element}
        yield f"{path}: problem {number}", {**element.attrib, **texts}
    if not number:
        raise ProblemError(f"{path} holds no element <{_PROBLEM}>.", hint="It is read as ASDiv is handed around.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ProblemError(
            f"there is no file {path}.", hint="Check the path; relative ones start at the working folder."
        ) from None
    except OSError as error:
        raise ProblemError(f"cannot read {path}: {error}.") from error
