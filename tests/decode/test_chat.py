"""Students asked in a chat: training and decoding read the same, and the folder alone remembers it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_student import make_tiny_student

from pad_ray.decode.chat import chat_prompt, timeless
from pad_ray.decode.loading import load_engine
from pad_ray.decode.student_engine import prompt_ids
from pad_ray.errors import StudentError
from pad_ray.records import Example, Message
from pad_ray.train.encode import encode

TURNS = "{% for turn in messages %}[{{ turn.role }}]{{ turn.content }}{% endfor %}"
TEMPLATE = TURNS + "{% if add_generation_prompt %}[reply]{% endif %}"


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, a chat template, and no card yet."""
    from transformers import AutoTokenizer

    folder = make_tiny_student(tmp_path_factory.mktemp("chat"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def example(prompt: str) -> Example:
    return Example("e", "solve", "program", prompt, "x = 1\n", "p", "teacher", 0)


@pytest.mark.parametrize("bos", [None, "["])
def test_training_and_decoding_read_the_same_prompt(student: Path, bos: str | None) -> None:
    tokenizer = tokenizer_of(student)
    if bos:
        from tokenizers import processors

        # One that puts its first token in front by itself; this template begins with it too.
        tokenizer.bos_token = bos
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.convert_tokens_to_ids(bos))]
        )
    (row,) = encode([example("Q: 3")], tokenizer, 100, chat=True).rows
    asked = chat_prompt(tokenizer, "Q: 3")
    assert asked == "[user]Q: 3[reply]"
    assert list(row.ids[: row.prompt]) == prompt_ids(tokenizer, asked)
    assert tokenizer.decode(row.ids[: row.prompt]).replace(" ", "") == asked.replace(" ", "")


def test_a_template_with_a_date_gives_the_same_prompt_every_day_and_otherwise_what_it_gave(student: Path) -> None:
    tokenizer = tokenizer_of(student)
    days = "\n  {% if strftime_now is defined %}({{ strftime_now('%d %b %Y') }}{{ strftime_now('%Y') | int + 1 }})"
    days += "{% endif %}\n"
    tokenizer.chat_template = days + TEMPLATE
    assert chat_prompt(tokenizer, "Q: 3") == "\n(26 Jul 20242025)[user]Q: 3[reply]"
    # Nothing but the date is another: lines and blanks at the beginning are the template's.
    tokenizer.chat_template = days.replace("%d %b", "").replace("%Y", "") + TEMPLATE
    turns = [{"role": "user", "content": "Q: 3"}]
    plain = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert chat_prompt(tokenizer, "Q: 3") == plain
    tokenizer.chat_template = days + TEMPLATE
    assert timeless(tokenizer) != tokenizer.chat_template
    tokenizer.chat_template = timeless(tokenizer)
    assert timeless(tokenizer) == tokenizer.chat_template, "an exported one is not wrapped again"
    assert tokenizer.apply_chat_template(turns, tokenize=False).startswith("\n(26 Jul 20242025)")
    engine = load_engine(student)
    engine._tokenizer.chat_template = days + TEMPLATE
    assert "26 Jul 2024" in engine.chat([Message("user", "Q: 3")])


def test_the_card_alone_has_prompts_wrapped(student: Path) -> None:
    plain = load_engine(student)
    wanted = plain.generate([chat_prompt(tokenizer_of(student), "Q: 3")], max_tokens=9, temperature=0, seed=0)
    assert plain.chats
    (student / "pad_ray.json").write_text(json.dumps({"format_version": 1, "thought": "program", "chat": True}))
    chatting = load_engine(student)
    assert chatting.generate(["Q: 3"], max_tokens=9, temperature=0, seed=0) == wanted
    assert not chatting.chats, "whoever asks need not, and must not, wrap it once more"


def test_a_tokenizer_without_a_template_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudentError, match=r"student\.chat: .*has no chat template"):
        encode([example("Q")], tokenizer_of(make_tiny_student(tmp_path)), 100, chat=True)
