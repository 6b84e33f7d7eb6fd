"""The recipe `quick` is what its README says: the recording, its faults, the tokenizer, the student's size."""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pad_ray.problems import take_in
from pad_ray.problems.sources import rows
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import builtin_recipes, load_recipe
from pad_ray.storage import resolve_uri
from pad_ray.teacher.recorded import RecordedTeacher
from pad_ray.thoughts.feedback import FEEDBACK
from pad_ray.thoughts.program import parse, repair_prompt, student_prompt

REPO = Path(__file__).resolve().parents[2]
QUICK = REPO / "pad_ray" / "recipes" / "quick"
OUTCOME_OF = {
    "": "correct",
    "wrong": "wrong_answer",
    "syntax": "syntax_error",
    "misspelt": "runtime_error",
    "refusal": "refused",
    "none": "no_answer",
    "endless": "timeout",
}
LONGEST_ERROR = max([*FEEDBACK.values(), "NameError: name 'nmuber_two' is not defined"], key=len)
STEPS = 10_000
"""Lines that a program of the teacher may run before it counts as endless."""


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("quick")


@pytest.fixture(scope="module")
def recording() -> list[dict[str, Any]]:
    lines = gzip.decompress((QUICK / "teacher.jsonl.gz").read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(QUICK / "student", local_files_only=True)


@pytest.fixture(scope="module")
def maker() -> Any:
    """The script that makes the files."""
    sys.path.insert(0, str(REPO / "bench"))
    try:
        import record_quick
    finally:
        sys.path.remove(str(REPO / "bench"))
    return record_quick


def test_it_is_built_in_and_all_its_files_ship_with_the_package(recipe: Recipe) -> None:
    assert "quick" in builtin_recipes()
    assert all(Path(resolve_uri(path)).is_file() for path in recipe.teacher.paths)
    assert (Path(resolve_uri(recipe.student.model)) / "config.json").is_file()


def test_the_script_writes_the_same_files_again(maker: Any, tmp_path: Path) -> None:
    maker.main(tmp_path)
    recorded = "teacher.jsonl.gz"
    # Another zlib may pack the same lines into other bytes.
    assert gzip.decompress((tmp_path / recorded).read_bytes()) == gzip.decompress((QUICK / recorded).read_bytes())
    shipped = {path.name: json.loads(path.read_text()) for path in (QUICK / "student").iterdir()}
    assert {path.name: json.loads(path.read_text()) for path in (tmp_path / "student").iterdir()} == shipped


def test_every_evaluation_question_is_unseen_and_none_repeats(recipe: Recipe) -> None:
    held_out = take_in(recipe.problems.eval["unseen"], "unseen")
    train = take_in(recipe.problems.train, "train", exclude=held_out.problems)
    assert len(held_out.problems) == 120 and not held_out.dropped
    assert len(train.problems) > 900
    assert not {problem.question for problem in train.problems} & {problem.question for problem in held_out.problems}


def test_every_training_problem_has_one_or_two_replies(recipe: Recipe) -> None:
    teacher = RecordedTeacher(recipe.teacher.paths)
    counts = Counter(
        teacher.recorded(problem.problem_id) for problem in take_in(recipe.problems.train, "train").problems
    )
    assert set(counts) == {1, 2} and counts[2] > counts[1]


def test_neither_questions_nor_answers_are_stored(recording: list[dict[str, Any]]) -> None:
    assert {key for row in recording for key in row} == {"problem_id", "text", "entry"}
    assert not any("these numbers:" in row["text"] or "arithmetic problem" in row["text"] for row in recording)


def test_a_plain_check_finds_each_fault_as_often_as_the_readme_says(
    recipe: Recipe, recording: list[dict[str, Any]]
) -> None:
    gold = {row["problem_id"]: row["answer"] for uri in recipe.problems.train for _, row in rows(uri)}
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in recording:
        outcome = plain_outcome(row["text"], row.get("entry", "solution"), int(gold[row["problem_id"]]))
        found[row["problem_id"].split("/")[0]][outcome] += 1
    assert found == stated_outcomes()


def stated_outcomes() -> dict[str, dict[str, int]]:
    """Replies by task and outcome, read from the table in the README."""
    row = re.compile(r"\| .*\| .* % \((\d+)\) \| .* % \((\d+)\) \| `(\w+)` \|")
    found = [row.fullmatch(line) for line in (QUICK / "README.md").read_text().splitlines()]
    stated = [match.groups() for match in found if match]
    return {
        "lcm": {outcome: int(count) for count, _, outcome in stated},
        "chain_sum": {outcome: int(count) for _, count, outcome in stated},
    }


def plain_outcome(reply: str, entry: str, gold: int) -> str:
    """What becomes of a reply, found without the sandbox: these programs are our own."""
    program = parse(reply).program
    if not program:
        return "refused"
    names: dict[str, Any] = {}
    try:
        exec(compile(program, "<reply>", "exec"), names)
        value = within_steps(names[entry])
    except SyntaxError:
        return "syntax_error"
    except NameError:
        return "runtime_error"
    except TimeoutError:
        return "timeout"
    if value is None:
        return "no_answer"
    return "correct" if value == gold else "wrong_answer"


def within_steps(function: Any) -> Any:
    left = STEPS

    def trace(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise TimeoutError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return function()
    finally:
        sys.settrace(before)


def test_the_recording_holds_the_faults_that_the_script_planned(
    maker: Any, recipe: Recipe, recording: list[dict[str, Any]]
) -> None:
    replies = maker.record(recipe.problems.train)
    assert [reply.text for reply in replies] == [row["text"] for row in recording]
    planned: dict[str, Counter[str]] = defaultdict(Counter)
    for reply in replies:
        planned[reply.problem_id.split("/")[0]][OUTCOME_OF[reply.fault]] += 1
    assert planned == stated_outcomes()


def test_the_student_has_as_many_parameters_as_the_readme_says() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(QUICK / "student", local_files_only=True))
    assert f"{sum(weights.numel() for weights in model.parameters()):,} parameters" in (QUICK / "README.md").read_text()


def test_the_tokenizer_fits_the_student_and_marks_the_end(tokenizer: Any) -> None:
    config = json.loads((QUICK / "student" / "config.json").read_text())
    assert len(tokenizer) == config["vocab_size"]
    assert tokenizer.eos_token_id == config["eos_token_id"] != tokenizer.pad_token_id == config["pad_token_id"]
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]


def test_prompts_and_programs_come_back_from_the_tokenizer_exactly(
    recipe: Recipe, recording: list[dict[str, Any]], tokenizer: Any
) -> None:
    questions = {row["problem_id"]: row["question"] for uri in recipe.problems.train for _, row in rows(uri)}
    for row in recording:
        question, program = questions[row["problem_id"]], parse(row["text"]).program
        repair = repair_prompt(question, program, LONGEST_ERROR)
        for text in (student_prompt(question), program, repair):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == text
        assert len(ids) + recipe.refine.max_tokens < recipe.train.max_length


@given(st.text().filter(lambda text: "<|end|>" not in text and "<|pad|>" not in text))
def test_any_text_but_its_own_two_marks_comes_back_exactly(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.unk_token is None


def test_numbers_and_the_words_of_a_program_are_single_tokens(tokenizer: Any) -> None:
    program = "def solution():\n    first = 47\n    result = first\n    return result\n"
    pieces = [tokenizer.decode([token]) for token in tokenizer(program)["input_ids"]]
    assert pieces[:6] == ["def", " solution", "():", "\n    ", "first", " = "]
    assert pieces[6] == "47"
