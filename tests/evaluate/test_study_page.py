"""What a study says: paired intervals, seeds that are no more questions, and no difference where none is clear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pad_ray.evaluate.arms import POOLED, accuracies, compared, study_results
from pad_ray.evaluate.metrics import newcombe, wilson
from pad_ray.evaluate.study_page import method_sentences, sentences, study_table, write_pages
from pad_ray.manifest import Manifest, Stage
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.study_file import Study, parse_study
from pad_ray.terminal import console
from tests.evaluate.fabricated_run import write_evaluation

SUITES = ("one", "two")


def answers(right: int, n: int, suite: str = "one") -> dict[tuple[str, str, str], bool]:
    return {(suite, f"{suite}/{number}", "q"): number < right for number in range(n)}


def write_arm(root: Storage, folder: str, right: int, round_: int) -> None:
    storage = Storage(root.uri(folder))
    for suite in SUITES:
        write_evaluation(storage, f"round-{round_}/eval/{suite}", suite, [number < right for number in range(30)])
        storage.write_rows(f"problems/eval/{suite}.parquet", Problem, [Problem(f"{suite}/0", "q", "7")])
    counts = {"by_task": {"solve": 5, "repair": 2}, "by_origin": {"teacher": 5, "student": 2}}
    stage = Stage(round=round_, stage="train", state="done", counts=counts)
    write_training(storage, f"round-{round_}/checkpoint", steps=33, examples=7)
    Manifest(recipe_hash="x", state="done", stages=[stage]).save(storage)


def write_training(storage: Storage, folder: str, **facts: int) -> None:
    training = {"tokens": 900, "seconds": 4.5, "dropped_too_long": 0, **facts}
    storage.write(f"{folder}/summary.json", json.dumps(training).encode())


@pytest.fixture
def study() -> Study:
    arms = {"all": {"about": "<b>bold</b>"}, "same": {}, "worse": {}, "unfinished": {}}
    return parse_study({"name": "t", "recipe": "quick", "reference": "all", "arms": arms}, "t.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path)
    write_arm(storage, "shared", 10, 0)
    for arm, right in {"all": 20, "same": 19, "worse": 5}.items():
        write_arm(storage, f"arms/{arm}-seed0", right, 1)
    return storage


def test_with_one_seed_intervals_are_those_of_every_comparison() -> None:
    before, after = answers(10, 40), answers(20, 40)
    row = compared([before], [after])[0]
    assert row["ci95"] == list(newcombe(10, 10, 0, 20))
    assert row["verdict"] == "better"
    assert accuracies([after])[0]["ci95"] == list(wilson(20, 40))


def test_the_same_answers_with_more_seeds_are_not_more_questions() -> None:
    before, after = answers(10, 40), answers(13, 40)
    few, many = compared([before] * 2, [after] * 2)[0], compared([before] * 9, [after] * 9)[0]
    assert (few["n"], few["difference"], few["ci95"]) == (many["n"], many["difference"], many["ci95"])
    assert few["p_value"] is None


def test_where_all_questions_agree_an_interval_still_has_a_width() -> None:
    alike = [answers(10, 40)] * 3
    low, high = compared(alike, alike)[0]["ci95"]
    assert low < 0 < high
    low, high = accuracies([answers(0, 40)] * 3)[0]["ci95"]
    assert high > 0


def test_steps_on_pairs_are_counted_and_never_called_equal_work(study: Study, root: Storage) -> None:
    arm = Storage(root.uri("arms/same-seed0"))
    write_training(arm, "round-1/preference", steps=8, pairs=21)
    results = study_results(study, root)
    training = {one["arm"]: one["training"][0] for one in results["arms"]}["same"]
    assert [training[key] for key in ("steps", "steps_on_pairs", "tokens", "pairs")] == [41, 8, 1800, 21]
    assert "did not take equally many optimizer steps" in " ".join(method_sentences(results))
    write_training(arm, "round-1/checkpoint", steps=25, examples=7)
    results = write_pages(study, root)
    assert "equal work" not in " ".join(method_sentences(results)).replace("not equal work", "")
    assert "33, 8 of them on pairs" in root.read("study.md").decode()
    assert "33, 8 of them on pairs" in root.read("study.html").decode()


def test_an_arm_with_only_pairs_took_their_steps(study: Study, root: Storage) -> None:
    arm = Storage(root.uri("arms/same-seed0"))
    arm.delete("round-1/checkpoint")
    write_training(arm, "round-1/preference", steps=8, pairs=21)
    training = {one["arm"]: one["training"][0] for one in study_results(study, root)["arms"]}["same"]
    assert (training["steps"], training["steps_on_pairs"]) == (8, 8)


def test_an_interval_is_around_the_mean_of_seeds_that_disagree_alike_on_all_questions() -> None:
    seeds = [answers(0, 30), answers(0, 30), answers(30, 30)]
    row = accuracies(seeds)[0]
    assert row["ci95"] == list(wilson(10, 30))
    for start, goal in ((seeds, [answers(30, 30)] * 3), ([answers(0, 30)], seeds), (seeds, seeds)):
        change = compared(start, goal)[0]
        low, high = change["ci95"]
        assert low < change["difference"] <= high
        assert (low > 0) == (start is not goal)


@pytest.mark.parametrize("gaining", [1, 2, 3])
def test_few_changed_questions_are_no_clear_difference_whichever_seeds_change_them(gaining: int) -> None:
    start, more = answers(50, 100), answers(54, 100)
    change = compared([start] * 3, [more] * gaining + [start] * (3 - gaining))[0]
    assert change["gained"] == 4 and change["verdict"] == "no clear difference"
    [low, high] = change["ci95"]
    assert low < 0 < change["difference"] < high
    more = answers(80, 100)
    assert compared([start] * 3, [more] * gaining + [start] * (3 - gaining))[0]["verdict"] == "better"


def test_seeds_that_are_nearly_all_right_may_still_be_wrong_elsewhere() -> None:
    low, high = accuracies([answers(99, 100), answers(100, 100), answers(100, 100)])[0]["ci95"]
    assert low < 0.97 and high > 0.99


def test_suites_are_also_taken_together() -> None:
    both = answers(10, 40) | answers(5, 20, "two")
    assert [(row["suite"], row["n"], row["correct"]) for row in accuracies([both])] == [
        (POOLED, 60, 15),
        ("one", 40, 10),
        ("two", 20, 5),
    ]


def test_a_question_in_two_suites_is_one_of_all() -> None:
    again = {("two", *question[1:]): right for question, right in answers(10, 40).items()}
    assert [(row["suite"], row["n"]) for row in accuracies([answers(10, 40) | again])] == [
        (POOLED, 40),
        ("one", 40),
        ("two", 40),
    ]


def test_only_a_clear_difference_is_called_one(study: Study, root: Storage) -> None:
    said = " ".join(sentences(study_results(study, root)))
    assert "'worse' is worse" in said
    assert "No clear difference from 'all': 'same'" in said
    assert "left out below: unfinished" in said


def test_the_page_stands_alone_and_holds_every_difference(study: Study, root: Storage) -> None:
    results = write_pages(study, root)
    page = root.read("study.html").decode()
    assert page.count("<svg") == 2
    assert "http://evil" not in page
    assert "<b>bold</b>" not in page
    assert '<td class="number"><b>-50.0</b></td>' in page  # worse: 5 right instead of 20, of 30
    table = root.read("study.md").decode()
    assert table.count("\n| worse |") == 3 * 3 + 2  # accuracy, two comparisons, answers, training
    assert json.loads(root.read("study.json")) == results


def test_the_table_of_the_terminal_names_steps_and_examples(study: Study, root: Storage) -> None:
    out = console()
    with out.capture() as shown:
        out.print(study_table(study_results(study, root)))
    text = shown.get()
    for part in ("worse", "-50.0", "33", "5 solve, 2 repair", "One seed"):
        assert part in text


def test_arms_that_are_whole_runs_have_no_common_student_and_are_compared_by_the_tokens_they_saw(
    tmp_path: Path,
) -> None:
    storage = Storage(tmp_path)
    arms = {"all": 20, "prose": 12}
    for arm, right in arms.items():
        write_arm(storage, f"arms/{arm}-seed0", right, 0)
        write_training(Storage(storage.uri(f"arms/{arm}-seed0")), "round-0/checkpoint", steps=9, tokens_seen=6000)
    read = {"arithmetic": {"right": 12, "calculate": 11, "faulty": 4}}
    prose = Storage(storage.uri("arms/prose-seed0"))
    for suite in SUITES:
        write_evaluation(prose, f"round-0/eval/{suite}", suite, [number < 12 for number in range(30)], **read)
    tree = {"name": "t", "recipe": "quick", "share": "nothing", "reference": "all", "arms": {key: {} for key in arms}}
    results = write_pages(parse_study(tree, "t.yaml"), storage)
    assert {row["from"] for row in results["differences"]} == {"all"}
    by_name = {one["arm"]: one for one in results["arms"]}
    assert by_name["prose"]["answers"][0]["arithmetic"] == {"right": 24, "calculate": 22, "faulty": 8}
    said = " ".join(method_sentences(results))
    assert "start from the same weights" in said
    assert "6,000 to 6,000" in said
    for page in ("study.html", "study.md"):
        text = storage.read(page).decode()
        assert "8 of 22" in text
        assert "round 0" not in text
    write_training(prose, "round-0/checkpoint", steps=9, tokens_seen=9000)
    assert "not trained on equally many tokens" in " ".join(
        method_sentences(write_pages(parse_study(tree, "t"), storage))
    )
