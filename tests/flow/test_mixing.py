"""What a round trains on is gathered by a worker and settled once: the driver is only told how much of what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.flow.mixing import Mixture, write_mixture
from pad_ray.recipe_file import parse_recipe
from pad_ray.records import Example
from pad_ray.run import open_run

RECIPE = parse_recipe({"name": "t", "problems": {"train": "none"}, "student": {"model": "none"}, "seed": 3})
NAME = "round-1/checkpoint/mixture.parquet"

pytestmark = pytest.mark.usefixtures("ray_session")


def examples(round_: int, count: int, task: str = "solve") -> list[Example]:
    origin = "student" if round_ else "teacher"
    return [
        Example(f"e{round_}.{n}", task, "program", "Q", f"x = {n}\n", f"p{n}", origin, round_) for n in range(count)
    ]


def test_the_driver_gets_counts_and_a_training_that_resumes_what_it_began_with(tmp_path: Path) -> None:
    with open_run(RECIPE, str(tmp_path)) as run:
        run.storage.write_rows("round-0/examples/shard-00000.parquet", Example, examples(0, 9))
        run.storage.write_rows("round-1/examples/shard-00000.parquet", Example, examples(1, 3, "repair"))
        made = write_mixture(run, 1, NAME)
        written = run.storage.read_rows(NAME, Example)
        assert made == Mixture(9, {"solve": 6, "repair": 3}, {"teacher": 6, "student": 3})
        run.storage.write_rows("round-1/examples/shard-00000.parquet", Example, examples(1, 5))
        assert write_mixture(run, 1, NAME) == made
        assert run.storage.read_rows(NAME, Example) == written


def test_of_nothing_nothing_is_written(tmp_path: Path) -> None:
    with open_run(RECIPE, str(tmp_path)) as run:
        assert write_mixture(run, 1, NAME) == Mixture()
        assert not run.storage.exists(NAME)
