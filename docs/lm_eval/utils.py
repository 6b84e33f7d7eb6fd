"""What the two tasks beside this file need that YAML cannot say."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any


def items(problems: str, **_: Any) -> Any:
    """The items of a file with `question` and `answer`, such as the problems.parquet that `pad-ray evaluate` leaves.

    The file comes from the command line: --metadata '{"problems": "FILE"}'.
    """
    import datasets

    kind = "parquet" if problems.endswith(".parquet") else "json"
    return datasets.load_dataset(kind, data_files={"test": problems})


def run_program(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the program in a reply comes to the answer: executed in the sandbox, compared outside of it."""
    from pad_ray.grading.verdict import judge
    from pad_ray.outcomes import Outcome
    from pad_ray.thoughts import program

    parsed = program.parse(results[0])
    if parsed.outcome is not None:
        return {"exact_match": 0.0}
    [end] = _sandbox().run([parsed.program])
    return {"exact_match": float(judge(end, doc["answer"]).outcome is Outcome.CORRECT)}


@cache
def _sandbox() -> Any:
    """One for the whole evaluation."""
    from pad_ray.sandbox import Sandbox

    box = Sandbox(confirm=True)
    box.__enter__()
    atexit.register(box.__exit__, None, None, None)
    return box
