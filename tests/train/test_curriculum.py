"""The curriculum: help that shrinks linearly to nothing, from similar questions that are not the same one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_training_run import run, steps
from training_jobs import MakeJob, sums

from pad_ray.recipe_train import Curriculum
from pad_ray.records import Example
from pad_ray.storage import Storage
from pad_ray.thoughts.program import student_prompt
from pad_ray.train.curriculum import most_telling, neighbours, self_information, stages
from pad_ray.train.encode import encode
from pad_ray.train.loop import plan_training
from pad_ray.train.material import read_material
from pad_ray.train.model import load_tokenizer
from tests.tiny_student import make_tiny_student

LONG = 100_000


def example(number: int, question: str, facts: tuple[str, ...] = (), task: str = "solve") -> Example:
    return Example(
        f"p{number}#program.r0.k0",
        task,
        "program",
        student_prompt(question),
        f"def solution():\n    return {number}\n",
        f"p{number}",
        "teacher",
        0,
        "s",
        facts,
    )


EXAMPLES = [
    example(0, "How many apples has Ann?", ("Ann has twice as many as Bob.", "Bob has 3.")),
    example(1, "How many apples has Bob?"),
    example(2, "How many pears has Ann?"),
    example(3, "Which colour is the sky?"),
    example(4, "How many apples has Ann now?", task="repair"),
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_tokenizer(str(make_tiny_student(tmp_path_factory.mktemp("student"))))


def shown(helped: Example, of: Example) -> list[str]:
    """The completions that stand before the question."""
    before = helped.prompt.removesuffix(of.prompt)
    assert before != helped.prompt or not before
    return [one.completion for one in EXAMPLES if one.completion in before]


def test_the_number_of_exemplars_falls_linearly_to_none_and_the_last_stage_is_the_bare_set(tokenizer: Any) -> None:
    cut = stages(EXAMPLES, Curriculum(stages=4, exemplars=3), tokenizer, LONG)
    assert [len(shown(stage[0], EXAMPLES[0])) for stage in cut] == [3, 2, 1, 0]
    assert cut[-1] == EXAMPLES
    # What is learned never changes, only what is read before it.
    for stage in cut:
        assert [replace(one, prompt="") for one in stage] == [replace(one, prompt="") for one in EXAMPLES]


def test_the_knowledge_shrinks_with_the_stages_and_keeps_its_rarest_tokens_in_order(tokenizer: Any) -> None:
    cut = stages(EXAMPLES, Curriculum(stages=3, exemplars=0), tokenizer, LONG)
    facts = "\n".join(EXAMPLES[0].facts)
    known = [stage[0].prompt.removesuffix(EXAMPLES[0].prompt) for stage in cut]
    assert known[0] == f"Known:\n{facts}\n\n" and known[2] == ""
    half = known[1].removeprefix("Known:\n").removesuffix("\n\n")
    assert len(half) == math.ceil(len(facts) / 2)  # one token is one character here
    rest = iter(facts)
    assert all(letter in rest for letter in half), "the tokens that stay are in their order"
    assert half.count("a") < facts.count("a") and "3" in half, "common tokens go first"
    # A question without facts has none in front.
    assert all(stage[1].prompt == EXAMPLES[1].prompt for stage in cut)


def test_knowledge_can_be_switched_off(tokenizer: Any) -> None:
    cut = stages(EXAMPLES, Curriculum(stages=2, exemplars=1, knowledge=False), tokenizer, LONG)
    assert not any("Known:" in example.prompt for stage in cut for example in stage)


def test_exemplars_are_the_most_similar_questions_of_other_problems_and_only_solved_ones() -> None:
    twin = replace(EXAMPLES[0], example_id="p0#program.r0.k1")
    again = replace(EXAMPLES[0], example_id="x", problem_id="p0~rephrase0")
    twice = replace(EXAMPLES[0], example_id="y", problem_id="p0~harder1~rephrase0")
    found = neighbours([*EXAMPLES, twin, again, twice], 2)
    assert found[0] == [1, 2], "neither another program of the same question, nor the question rephrased"
    assert found[4] == [], "a repair gets no help"
    assert all(4 not in row for row in found), "and is none"


def test_of_an_example_without_room_the_least_similar_help_is_left_out_and_the_example_stays(tokenizer: Any) -> None:
    plain = [row.ids for row in encode(EXAMPLES, tokenizer, LONG).rows]
    settings = Curriculum(stages=2, exemplars=3)
    for most in range(max(map(len, plain)), 400, 25):
        first, bare = stages(EXAMPLES, settings, tokenizer, most)
        encoded = encode(first, tokenizer, most + 1)
        assert encoded.dropped == 0 and bare == EXAMPLES
        help_ = shown(first[0], EXAMPLES[0])
        assert help_ == [one.completion for one in EXAMPLES[1:4] if one.completion in help_]
        assert not help_ or EXAMPLES[1].completion in help_, "the most similar one is the last to go"


def test_self_information_is_what_a_token_tells() -> None:
    rare = self_information([[1, 1, 1], [2]])
    assert rare[1] == pytest.approx(math.log(4 / 3)) and rare[2] == pytest.approx(math.log(4))
    assert most_telling([1, 2, 1], 0.5, rare) == [1, 2]
    assert most_telling([1, 2, 1], 0, rare) == []


def test_examples_of_runs_before_facts_are_still_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    storage = Storage(tmp_path)
    storage.write_rows("new.parquet", Example, EXAMPLES)
    pq.write_table(pq.read_table(tmp_path / "new.parquet").drop_columns(["facts"]), tmp_path / "old.parquet")
    assert storage.read_rows("new.parquet", Example) == EXAMPLES
    assert storage.read_rows("old.parquet", Example) == [replace(one, facts=()) for one in EXAMPLES]


@pytest.mark.usefixtures("one_thread")
def test_a_training_goes_through_its_stages_in_turn_and_ends_on_the_bare_questions(make_job: MakeJob) -> None:
    settings = {"curriculum": Curriculum(stages=3, exemplars=2), "max_length": 400}
    job = make_job(epochs=3, settings=settings)
    checkpoint = run(job)
    lines = steps(job)
    assert checkpoint.tokens == 3 * sum(len(example.completion) + 1 for example in sums(40)), "each stage is one pass"
    assert [line.step for line in lines] == list(range(1, checkpoint.steps + 1))
    assert lines[-1].loss < 0.9 * lines[0].loss
    storage = Storage(job.root)
    material = read_material(job, storage, load_tokenizer(job.model), False).learned
    course = plan_training(job, material, workers=1)
    assert material.stages == (40, 40, 40) and material.examples == 40
    read = [{row // 40 for batches in step for micro in batches for row in micro} for step in course.steps]
    assert all(len(stage) == 1 for stage in read), "no step mixes two stages"
    order = [next(iter(stage)) for stage in read]
    assert order == sorted(order) and set(order) == {0, 1, 2}
    bare = encode(sums(40), load_tokenizer(job.model), 400).rows
    assert material.rows[-40:] == bare
    # A later round has interned what it can: it reads bare questions from the start.
    later = read_material(replace(job, round=1), storage, load_tokenizer(job.model), False).learned
    assert later.rows == bare


@pytest.mark.usefixtures("one_thread")
def test_a_limit_on_tokens_is_shared_out_among_the_stages(make_job: MakeJob) -> None:
    settings = {"curriculum": Curriculum(stages=3, exemplars=2), "max_length": 400}
    job = make_job(epochs=30, tokens=6000, settings=settings)
    material = read_material(job, Storage(job.root), load_tokenizer(job.model), False).learned
    course = plan_training(job, material, workers=1)
    taken = [0, 0, 0]
    for step in course.steps:
        for micro in step[0]:
            for row in micro:
                taken[row // 40] += len(material.rows[row].ids)
    assert all(abs(tokens - 2000) < 512 for tokens in taken)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("start", [True, False])
def test_help_makes_no_row_too_long_in_a_chat_or_with_a_start_token(tmp_path: Path, chat: bool, start: bool) -> None:
    tokenizer = load_tokenizer(str(make_tiny_student(tmp_path)))
    tokenizer.chat_template = "A long-winded introduction, forty letters." * 2 + "{{ messages[0].content }}"
    if start:
        from tokenizers import processors

        tokenizer.bos_token = "<unk>"
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<unk> $A", special_tokens=[("<unk>", tokenizer.convert_tokens_to_ids("<unk>"))]
        )
    longest = max(len(row.ids) for row in encode(EXAMPLES, tokenizer, LONG, chat=chat).rows)
    for most in (longest, longest + 1, longest + 75, longest + 150):
        cut = stages(EXAMPLES, Curriculum(stages=4, exemplars=3), tokenizer, most, chat=chat)
        assert [len(encode(stage, tokenizer, most, chat=chat).rows) for stage in cut] == [len(EXAMPLES)] * 4
    assert cut[0] != EXAMPLES, "where there is room there is help"


@pytest.mark.parametrize(("most", "taken"), [(5, [1, 1, 1, 2]), (2, [0, 0, 1, 1]), (1, [0, 0, 0, 1]), (8, [2] * 4)])
def test_a_limit_on_steps_is_kept_and_what_cannot_be_shared_goes_to_the_last_stages(
    make_job: MakeJob, most: int, taken: list[int]
) -> None:
    curriculum = {"curriculum": Curriculum(stages=4, exemplars=2), "max_length": 400}
    job = make_job(epochs=30, settings={**curriculum, "max_steps": most})
    material = read_material(job, Storage(job.root), load_tokenizer(job.model), False).learned
    steps_ = plan_training(job, material, workers=1).steps
    stage_of = [step[0][0][0] // 40 for step in steps_]
    assert [stage_of.count(stage) for stage in range(4)] == taken


def test_a_chat_that_leaves_room_for_no_help_leaves_no_stage_empty(make_job: MakeJob, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(make_tiny_student(tmp_path / "chat")))
    tokenizer.chat_template = "x" * 40 + "{{ messages[0].content }}"
    longest = max(len(row.ids) for row in encode(sums(40), tokenizer, LONG, chat=True).rows)
    settings = {"curriculum": Curriculum(stages=4, exemplars=3), "max_length": longest}
    job = make_job(chat=True, tokens=4000, settings=settings)
    material = read_material(job, Storage(job.root), tokenizer, False).learned
    assert material.stages == (40, 40, 40, 40)
    assert plan_training(job, material, workers=1).steps
