"""A student of two parts is one student: one folder, one engine, and each part is asked what it has learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pad_ray import Reasoner
from pad_ray.decode.loading import fitting_engine, load_engine
from pad_ray.decode.parts import InParts
from pad_ray.decode.socratic import InSteps
from pad_ray.errors import StudentError
from pad_ray.students.gguf_export import export_gguf
from pad_ray.students.parts import decomposer_of
from pad_ray.thoughts import socratic
from tests.tiny_student import make_tiny_student

QUESTION = "Box of 3 and 4?"
DIALOGUE = "1) Eggs?\n3+4 = 7. ## 7\n2) Left?\n7-2 = 5. ## 5\n"
CARD = {"format_version": 1, "thought": "socratic"}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The solver knows the answers only, the decomposer the sub-questions only."""
    folder = tmp_path_factory.mktemp("parts") / "student"
    asking, *answering = [(one.prompt, one.completion) for one in socratic.lessons(QUESTION, DIALOGUE)]
    make_tiny_student(folder, answering)
    make_tiny_student(folder / "decomposer", [asking])
    (folder / "pad_ray.json").write_text(json.dumps({**CARD, "decomposer": "decomposer"}))
    (folder / "decomposer" / "pad_ray.json").write_text(json.dumps(CARD))
    return folder


def asked(folder: Path) -> str:
    prompt = socratic.student_prompt(QUESTION)
    [one] = InSteps(load_engine(folder)).generate([prompt], max_tokens=90, temperature=0.0, seed=0)
    return one.text


def test_neither_part_can_answer_alone_and_both_together_can(student: Path, tmp_path: Path) -> None:
    for part, folder in (("solver", student), ("decomposer", student / "decomposer")):
        alone = tmp_path / part
        alone.mkdir()
        for file in folder.iterdir():
            if file.is_file() and file.name != "pad_ray.json":
                (alone / file.name).symlink_to(file)
        assert asked(alone) != DIALOGUE
    assert asked(student) == DIALOGUE
    with Reasoner.load(student, sandbox="unsafe") as reasoner:
        answer = reasoner.solve(QUESTION, max_tokens=90)
    assert (answer.answer, answer.program, reasoner.engine_name) == ("5", DIALOGUE, "transformers")


def test_prompts_of_both_tasks_in_one_call_get_what_each_gets_alone(student: Path) -> None:
    engine = load_engine(student)
    assert isinstance(engine, InParts)
    lessons = socratic.lessons(QUESTION, DIALOGUE)
    prompts = [one.prompt for one in (lessons[1], lessons[0], lessons[2], lessons[0])]
    settings = {"max_tokens": 60, "temperature": 1.0}
    together = engine.generate(prompts, seed=[1, 2, 3, 4], **settings)
    alone = [engine.generate([one], seed=[seed], **settings)[0] for seed, one in enumerate(prompts, start=1)]
    assert [one.text for one in together] == [one.text for one in alone]
    [first, second] = engine.generate(prompts[:2], seed=7, **settings)
    # One that goes on from what was written gets its own tokens.
    written = [first.tokens[:2], second.tokens[:2]]
    gone_on = engine.generate(prompts[:2], max_tokens=60, temperature=0.0, seed=0, written=written)
    for one, before in zip(gone_on, (first, second), strict=True):
        assert one.text[:2] == before.text[:2]
    heeded: list[int] = []

    def wanted(place: int) -> bool:
        heeded.append(place)
        return True

    engine.generate(prompts, max_tokens=60, temperature=0.0, seed=0, wanted=wanted)
    assert set(heeded) <= {0, 1, 2, 3}
    assert engine.ids(prompts[0]) == engine.solver.ids(prompts[0])


def test_settings_of_the_whole_hold_for_both_parts(student: Path) -> None:
    engine = load_engine(student)
    assert isinstance(engine, InParts)
    engine.batch_size = 3
    engine.generate([socratic.student_prompt("So?")], max_tokens=1, temperature=0.0, seed=0)
    assert (engine.solver.batch_size, engine.decomposer.batch_size) == (3, 3)


def test_what_holds_one_model_only_is_refused(student: Path, tmp_path: Path) -> None:
    assert fitting_engine(student, 1) == "transformers"
    for engine in ("llama_cpp", "vllm"):
        with pytest.raises(StudentError, match=f"engine: {engine} decodes one model"):
            load_engine(student, engine)
    with pytest.raises(StudentError, match="has two models, of which one asks the sub-questions"):
        export_gguf(student, tmp_path / "a.gguf")


def test_a_part_that_did_not_come_along_is_missed_and_no_other_folder_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "student"
    make_tiny_student(folder)
    assert decomposer_of(folder) is None
    for card in ({"decomposer": "decomposer"}, {"decomposer": "../elsewhere"}, {"decomposer": 3}):
        (folder / "pad_ray.json").write_text(json.dumps({**CARD, **card}))
        with pytest.raises(StudentError, match=r"there is none in .*/student/decomposer"):
            load_engine(folder)
    for text in ("{", "[]"):
        (folder / "pad_ray.json").write_text(text)
        with pytest.raises(StudentError, match=r"pad_ray\.json is damaged"):
            decomposer_of(folder)
