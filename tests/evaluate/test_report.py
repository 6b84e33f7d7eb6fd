"""The report tells the whole run, tells what there is of an unfinished one, and runs nothing it shows."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pad_ray.errors import StorageError, UsageError
from pad_ray.evaluate.card import write_card
from pad_ray.evaluate.report import write_report
from pad_ray.storage import Storage
from tests.evaluate.fabricated_run import stage


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " " if tag in ("td", "dt", "dd") else ""
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def read(root: Path) -> tuple[str, Page]:
    html = Path(write_report(root)).read_text(encoding="utf-8")
    return html, Page(html)


def test_the_page_tells_every_part_of_the_run(finished_run: Path) -> None:
    _, page = read(finished_run)
    text = " ".join(page.text.split())
    assert "tiny learns to reason by writing programs, from the recorded replies of big-<teacher>." in text
    assert "16.7 % → 66.7 % no clear difference: +50.0 points" in text
    assert "compared with: untrained, programs after 4 examples" in text
    assert "8 training problems, left out: 2 also in an evaluation suite." in text
    assert "Round 0: the teacher wrote 8 programs, 4 of them correct (50.0 %); 3 became training examples." in text
    assert "2 of them correct (25.0 %); 1 became new examples, 3 failures became repairs." in text
    assert "barren: the teacher was never right (0 of 2); the filter leaves nothing of it" in text
    assert "3 training problems share 13 words in a row with an evaluation problem of the same gym task." in text
    assert "sum.u-1 6 6 1 repeated" in text  # problems, asked, left out
    assert "base model models/tiny teacher the recorded replies of big-<teacher>" in text
    assert "train tokens per s 104.2 minutes 17" in text
    for row in ("untrained, answers directly 0 / 6", "untrained, writes programs 0 / 6", "round 1 4 / 6"):
        assert row in text
    assert "0 3 1 9 450 13.5 s" in text  # round, examples, too long, steps, tokens, time
    for heading in (
        "Accuracy",
        "Differences, problem by problem",
        "The problems",
        "What the programs were worth",
        "What became training examples, and what did not",
        "Training",
        "What the last student writes",
        "What it learned from",
        "How it was made",
        "Calibration",
        "Stages",
        "What these numbers do not show",
    ):
        assert heading in text
    assert page.tags.count("svg") == 3
    assert "duplicate program" in text and "ray 2.60.0" in text and "strict" in text
    assert "One run with one seed (3)." in text and "n = 6" in text
    for shown in (
        "Train question 4 & more?",
        "because of timeout",
        "because of syntax_error",
        "tokens_per_batch: 2048",
    ):
        assert shown in text


def test_held_out_questions_are_a_second_curve_and_say_which_student_was_exported(finished_run: Path) -> None:
    plain, _ = read(finished_run)
    assert "held out" not in plain
    storage = Storage(finished_run)
    folder = "round-0/checkpoint"
    lines = [json.loads(row) for row in storage.read(f"{folder}/metrics.jsonl").splitlines()]
    rows = [{**row, "held_out": 2.5} for row in lines[:1]] + lines[1:]
    storage.write(f"{folder}/metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    found = {"questions": 2, "examples": 5, "best_step": 1, "best_loss": 2.5, "exported_step": 1, "stopped_early": True}
    training = json.loads(storage.read(f"{folder}/summary.json")) | {"validation": found}
    storage.write(f"{folder}/summary.json", json.dumps(training).encode())
    _, page = read(finished_run)
    text = " ".join(page.text.split())
    assert "round 0, held out" in text and "round 1, held out" not in text
    assert "0 3 1 9 450 13.5 s 0.222 2.500 1" in text and "1 5 1 9 450 13.5 s 0.222 – –" in text
    told = (
        "Round 0: 2 questions (5 examples) were held out; training stopped early, after step 9, and the student of the"
        " lowest loss, of step 1, is the one that was exported."
    )
    assert told in text
    assert told in Path(write_card(finished_run, 1) or "").read_text()


def test_every_heading_is_followed_by_a_sentence(finished_run: Path) -> None:
    html, _ = read(finished_run)
    after = re.findall(r"</h2>\s*<(\w+)", html)
    assert len(after) == 8 and set(after) == {"p"}


def test_text_from_data_is_shown_and_never_becomes_markup(finished_run: Path) -> None:
    _, page = read(finished_run)
    assert "<script>alert(1)</script>" in page.text and "<b>bold</b>" in page.text and "sum.u-1" in page.text
    assert not {"script", "img", "i", "u", "iframe", "link", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_from_outside(finished_run: Path) -> None:
    html, page = read(finished_run)
    loaded = [value or "" for name, value in page.attributes if name in ("src", "href", "xlink:href", "data", "action")]
    assert all(value.startswith("#") for value in loaded)
    assert "default-src 'none'" in html and "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_drawings_share_no_ids(finished_run: Path) -> None:
    _, page = read(finished_run)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "missing",
    ["manifest.json", "round-1", "round-0/examples", "round-0/checkpoint", "base", "problems", "round-0/verdicts"],
)
def test_an_unfinished_run_shows_what_is_there(finished_run: Path, missing: str) -> None:
    Storage(finished_run).delete(missing)
    _, page = read(finished_run)
    assert "What these numbers do not show" in page.text


def test_a_run_that_has_only_begun_says_so(finished_run: Path) -> None:
    storage = Storage(finished_run)
    for folder in ("round-0", "round-1", "base", "problems"):
        storage.delete(folder)
    manifest = json.loads(storage.read("manifest.json"))
    storage.write("manifest.json", json.dumps(manifest | {"state": "failed", "error": "no <space> left"}).encode())
    _, page = read(finished_run)
    assert "This run is not finished" in page.text and "no <space> left" in page.text
    assert "svg" not in page.tags


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no manifest\.json"):
        write_report(tmp_path)


def test_a_damaged_file_is_named(finished_run: Path) -> None:
    Storage(finished_run).write("round-0/examples/summary.json", b'{"kept": 3, ')
    with pytest.raises(StorageError, match=r"round-0/examples/summary\.json is not valid JSON"):
        write_report(finished_run)


def test_of_a_mixture_of_teachers_each_ones_yield_is_told(finished_run: Path) -> None:
    path = finished_run / "manifest.json"
    manifest = json.loads(path.read_text())
    judged = next(stage for stage in manifest["stages"] if stage["stage"] == "judge")
    judged["counts"]["by_model"] = {"big <1>": {"asked": 8, "correct": 4}}
    path.write_text(json.dumps(manifest))
    assert "programs by teacher" not in read(finished_run)[1].text
    judged["counts"]["by_model"]["small"] = {"asked": 3, "wrong_answer": 3}
    path.write_text(json.dumps(manifest))
    assert "big <1> 8 4 50.0 % small 3 0 0.0 %" in " ".join(read(finished_run)[1].text.split())


def test_repairs_among_what_was_trained_on_are_told_where_there_are_some(finished_run: Path) -> None:
    path = finished_run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stages"].append(stage("train", {"by_task": {"solve": 3, "repair": 2}}) | {"round": 1})
    path.write_text(json.dumps(manifest))
    text = " ".join(read(finished_run)[1].text.split())
    # Round, examples, repairs, too long, steps, tokens.
    assert "0 3 0 1 9 450" in text and "1 5 2 1 9 450" in text
