"""Figures of others stand beside ours only where the suite is what they measured, and as what they are."""

from __future__ import annotations

import pytest

from pad_ray.evaluate.published import benchmark_of, markdown, nearest, published


@pytest.mark.parametrize(
    ("suite", "benchmark"),
    [
        ("gsm8k", "gsm8k"),
        ("GSM8K-test", "gsm8k"),
        ("svamp_100", "svamp"),
        ("asdiv.main", "asdiv"),
        ("MultiArith", "multiarith"),
        ("gsm8k_test_dev", "gsm8k"),
        ("gsm8k-hard", None),
        ("gsm8k-train", None),
        ("gsm8k+svamp", None),
        ("mgsm", None),
        ("sums", None),
        ("test", None),
    ],
)
def test_only_a_name_that_says_nothing_else_tells_a_benchmark(suite: str, benchmark: str | None) -> None:
    assert benchmark_of(suite) == benchmark


def test_the_nearest_published_size_is_shown_best_first() -> None:
    small = nearest("gsm8k", 134_515_008)
    assert {one.size for one in small} <= set(range(112, 163)) and small[0].accuracy == 76.1
    assert [one.accuracy for one in small] == sorted((one.accuracy for one in small), reverse=True)
    assert {one.model for one in small} >= {"SmolLM2-135M-Instruct", "Phi-GSM 125M"}
    assert [(one.size, one.accuracy) for one in nearest("multiarith", 10**6)] == [(250, 74.3)]
    assert {one.model for one in nearest("asdiv", 10**12)} == {"Flan-T5-large"}


def test_every_figure_names_its_source_and_stands_once() -> None:
    rows = published()
    assert len(set(rows)) == len(rows) > 50
    assert {one.benchmark for one in rows} == {"gsm8k", "svamp", "asdiv", "multiarith"}


def test_a_document_gets_the_figures_as_a_table() -> None:
    rows = nearest("svamp", 135_000_000)
    lines = markdown(rows).splitlines()
    assert len(lines) == 2 + len(rows) and all(line.count("|") == 7 for line in lines)
    assert "| 125M | svamp | 74.1 % | Phi-GSM 125M |" in markdown(rows)
