"""An evaluation answers every problem with executed programs, once, and refuses what it could not grade."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from pad_ray.decode.engine import Completion
from pad_ray.errors import ProblemError, StudentError, UsageError
from pad_ray.evaluate.answer import answer_batch, answer_directly
from pad_ray.evaluate.asking import Asking
from pad_ray.evaluate.folder import read_answers
from pad_ray.evaluate.job import EvaluateJob
from pad_ray.evaluate.run import evaluate
from pad_ray.flow.progress import Reporter
from pad_ray.flow.standalone import evaluate_student
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Decode, SandboxSettings
from pad_ray.records import Problem
from pad_ray.sandbox import Sandbox
from pad_ray.storage import Storage
from pad_ray.students import wheel
from pad_ray.thoughts.program import student_prompt
from pad_ray.train.verifier import Trained, save
from tests.tiny_student import make_tiny_student

RIGHT = "def solution():\n    return 7\n"
WRONG = "def solution():\n    return 8\n"
BROKEN = "def solution():\n    return missing\n"
PLAIN = Asking(student_prompt)


class Scripted:
    """An engine that replies what it was told, and remembers how it was asked."""

    def __init__(self, *replies: str, finish_reason: str = "stop") -> None:
        self.replies, self.finish_reason = list(replies), finish_reason
        self.prompts: list[str] = []
        self.seeds: list[int] = []
        self.temperature = -1.0

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
    ) -> list[Completion]:
        seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
        assert len(seeds) == len(prompts) == len(self.replies)
        self.prompts, self.seeds, self.temperature = list(prompts), seeds, temperature
        return [Completion(reply, self.finish_reason, 5, len(reply)) for reply in self.replies]  # type: ignore[arg-type]


def problem(number: int, answer: str = "7") -> Problem:
    return Problem(f"p{number}", f"What is question {number}?", answer, source="sums")


def test_every_problem_gets_the_verdict_of_its_own_program() -> None:
    engine = Scripted(RIGHT, WRONG, BROKEN, "I do not know.", "def solution(:\n    return 7\n")
    problems = [problem(number) for number in range(5)]
    with Sandbox(level="unsafe", confirm=True) as box:
        answers = answer_batch(engine, box, problems, Decode(), 0, PLAIN)
    outcomes = [one.outcome for one in answers]
    assert outcomes == [
        Outcome.CORRECT,
        Outcome.WRONG_ANSWER,
        Outcome.RUNTIME_ERROR,
        Outcome.REFUSED,
        Outcome.SYNTAX_ERROR,
    ]
    assert [one.answer for one in answers] == ["7", "8", None, None, None]
    assert "NameError" in answers[2].detail and answers[3].program == ""
    assert [one.problem_id for one in answers] == [one.problem_id for one in problems]
    assert engine.prompts[1] == student_prompt("What is question 1?") and engine.temperature == 0.0


def test_a_program_cut_at_its_limit_is_not_executed() -> None:
    with Sandbox(level="unsafe") as box:
        [answer] = answer_batch(Scripted(RIGHT, finish_reason="length"), box, [problem(0)], Decode(), 0, PLAIN)
    assert answer.outcome is Outcome.TRUNCATED and answer.answer is None


def test_numbers_are_rounded_only_when_asked_for() -> None:
    close = "def solution():\n    return 7.4\n"
    with Sandbox(level="unsafe") as box:
        outcomes = [
            answer_batch(Scripted(close), box, [problem(0)], Decode(), 0, PLAIN, rounded=rounded)[0].outcome
            for rounded in (False, True)
        ]
    assert outcomes == [Outcome.WRONG_ANSWER, Outcome.CORRECT]
    outcomes = [
        answer_directly(Scripted("7.4"), [problem(0)], PLAIN, rounded=rounded)[0].outcome for rounded in (False, True)
    ]
    assert outcomes == [Outcome.WRONG_ANSWER, Outcome.CORRECT]


def test_the_majority_answers_even_against_the_gold() -> None:
    engine = Scripted(RIGHT, WRONG, WRONG, BROKEN, RIGHT, RIGHT)
    decode = Decode(kind="vote", samples=3, temperature=0.9)
    with Sandbox(level="unsafe") as box:
        first, second = answer_batch(engine, box, [problem(0), problem(1)], decode, 0, PLAIN)
    assert (first.outcome, first.answer, first.program) == (Outcome.WRONG_ANSWER, "8", WRONG)
    assert (second.outcome, second.answer, second.program) == (Outcome.CORRECT, "7", RIGHT)
    assert first.tokens == len(RIGHT) + 2 * len(WRONG)
    assert (first.values, second.values) == (("7", "8", "8"), (None, "7", "7"))
    assert engine.temperature == 0.9 and len(set(engine.seeds)) == 6


def test_a_sample_draws_alike_whatever_is_beside_it() -> None:
    decode = Decode(kind="vote", samples=2)
    together, alone = Scripted(RIGHT, RIGHT, RIGHT, RIGHT), Scripted(RIGHT, RIGHT)
    with Sandbox(level="unsafe") as box:
        answer_batch(together, box, [problem(0), problem(1)], decode, 5, PLAIN)
        answer_batch(alone, box, [problem(1)], decode, 5, PLAIN)
    assert together.seeds[2:] == alone.seeds


def job(root: Path | Storage, student: Path, **changes: object) -> EvaluateJob:
    settings: dict[str, object] = {
        "root": str(root),
        "problems": "problems/eval/easy.parquet",
        "student": str(student),
        "out": "round-0/eval/easy",
        "decode": Decode(max_tokens=48, batch_size=2),
        "sandbox": SandboxSettings(level="unsafe"),
        "problems_name": "easy",
        "student_name": "round-0/student",
    }
    return EvaluateJob(**(settings | changes))  # type: ignore[arg-type]


def test_problems_that_cannot_be_graded_are_refused_before_anything_runs(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write_rows("problems/eval/easy.parquet", Problem, [problem(0), problem(1, answer=" "), problem(2, "")])
    with pytest.raises(ProblemError, match=r"2 of the 3 problems in easy have no answer \(the first is 'p1'\)"):
        evaluate(job(tmp_path, tmp_path))
    storage.write_rows("problems/eval/easy.parquet", Problem, [])
    with pytest.raises(ProblemError, match="easy holds no problems"):
        evaluate(job(tmp_path, tmp_path))
    assert not storage.exists("round-0")


@pytest.mark.usefixtures("ray_session")
def test_a_student_is_measured_once_and_its_answers_are_kept(tmp_path: Path) -> None:
    problems = [problem(number) for number in range(3)]
    student = make_tiny_student(
        tmp_path / "student",
        [(student_prompt(problems[0].question), RIGHT), (student_prompt(problems[1].question), WRONG)],
    )
    storage = Storage(tmp_path / "run")
    storage.write_rows("problems/eval/easy.parquet", Problem, problems)
    steps: list[tuple[int, int]] = []
    summary = evaluate(job(storage, student, limit=3), lambda done, total: steps.append((done, total)))

    assert list(dict.fromkeys(steps)) == [(0, 3), (2, 3), (3, 3)]
    assert (summary["n"], summary["correct"]) == (3, summary["outcomes"]["correct"])
    assert (summary["decode"], summary["problems"], summary["student"]) == ("greedy", "easy", "round-0/student")
    assert (summary["prompt"], summary["match"]) == ("zero_shot", "exact")
    assert summary["max_tokens"] == 48 and summary["seed"] == 0 and summary["seconds"] > 0
    assert summary == json.loads(storage.read("round-0/eval/easy/summary.json"))
    answers = read_answers(storage, "round-0/eval/easy")
    assert [one.outcome for one in answers[:2]] == [Outcome.CORRECT, Outcome.WRONG_ANSWER]
    assert answers[0].program == RIGHT and sum(one.tokens for one in answers) == summary["tokens"]

    # A vote keeps what each of its samples gave, and says what they are worth.
    voting = Decode(kind="vote", samples=3, max_tokens=48)
    voted = evaluate(job(storage, student, out="round-0/eval/vote", decode=voting))
    assert [one["k"] for one in voted["at_k"]] == [1, 2, 3] and voted["matches"]["exact"]["correct"] == voted["correct"]
    assert all(len(one.values) == 3 for one in read_answers(storage, "round-0/eval/vote"))
    assert "at_k" not in summary

    # Finished is finished: the student is not needed again.
    assert evaluate(job(storage, tmp_path / "gone", limit=3)) == summary
    # But another question is never answered with an old result.
    with pytest.raises(UsageError, match=r"holds another evaluation .*seed: 0 there, 1 now"):
        evaluate(job(storage, student, limit=3, seed=1))
    with pytest.raises(UsageError, match=r"holds another evaluation .*match: 'exact' there, 'rounded' now"):
        evaluate(job(storage, student, limit=3, match="rounded"))
    storage.write_rows("problems/eval/easy.parquet", Problem, [*problems[:2], problem(2, answer="8")])
    with pytest.raises(UsageError, match=r"holds another evaluation \(problems_hash: "):
        evaluate(job(storage, student, limit=3))


@pytest.mark.usefixtures("ray_session")
def test_a_measurement_tells_which_verifier_was_asked(tmp_path: Path) -> None:
    import torch

    student = make_tiny_student(tmp_path / "student")
    width = json.loads((student / "config.json").read_text())["hidden_size"]
    head = Trained(torch.zeros(width), torch.zeros(()), 3, 24, 0.5, 2, None)
    card = save(head, Storage(student), {"problems": "sums.jsonl"})
    storage = Storage(tmp_path / "run")
    storage.write_rows("problems/eval/easy.parquet", Problem, [problem(0)])
    asked = Decode(kind="beam", beams=2, continuations=2, scorer="verifier", max_tokens=8)
    assert evaluate(job(storage, student, decode=asked))["verifier"] == card
    assert "verifier" not in evaluate(job(storage, student, out="round-0/eval/greedy"))


@pytest.mark.usefixtures("ray_session")
def test_changed_problems_or_weights_never_get_the_result_of_the_old_ones(tmp_path: Path) -> None:
    def measure(*rows: dict[str, object]) -> dict[str, object]:
        (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        reporter = Reporter()
        return evaluate_student(
            str(student),
            str(tmp_path / "p.jsonl"),
            out,
            decode="greedy",
            samples=1,
            limit=None,
            seed=0,
            reporter=reporter,
        )

    student, out = make_tiny_student(tmp_path / "student"), tmp_path / "out"
    first: dict[str, object] = {"id": 1, "question": "1 + 1? \ud83d", "answer": 2}
    summary = measure(first, first, {"question": "2 + 2?"})
    assert (summary["n"], summary["dropped"]) == (1, {"duplicate": 1, "no_answer": 1})
    assert measure(first) == summary
    kept = (out / "problems.parquet").read_bytes()
    with pytest.raises(UsageError, match="problems_hash"):
        measure(first | {"answer": 3})
    assert (out / "problems.parquet").read_bytes() == kept
    weights = (student / "model.safetensors").read_bytes()
    (student / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(UsageError, match=r"weights: '\w+' there, '\w+' now"):
        measure(first)


@pytest.mark.usefixtures("ray_session")
def test_a_student_named_by_uri_is_fetched_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure() -> dict[str, object]:
        return evaluate_student(
            "wheel://llm-small", str(problems), tmp_path / "out",
            decode="greedy", samples=1, max_tokens=9, limit=None, seed=0, reporter=Reporter(Console(file=said)),
        )  # fmt: skip

    def fetch(name: str, cache: Path, say: Callable[[str], None]) -> Path:
        say(f"fetching {name}")
        return student

    student, problems, said = make_tiny_student(tmp_path / "student"), tmp_path / "p.jsonl", io.StringIO()
    problems.write_text('{"id": 1, "question": "1 + 1?", "answer": 2}\n')
    with pytest.raises(StudentError, match=r"^student: 'wheel://llm-small' is not known"):
        measure()
    monkeypatch.setattr(wheel, "student", fetch)
    summary = measure()
    assert (summary["student"], summary["n"], summary["max_tokens"]) == ("wheel://llm-small", 1, 9)
    assert said.getvalue().count("fetching llm-small") == 1
    assert measure() == summary
    assert said.getvalue().count("fetching llm-small") == 1  # what is finished needs no student


@pytest.mark.usefixtures("ray_session")
def test_an_untrained_student_is_drawn_from_its_shape_alone(tmp_path: Path) -> None:
    shape = make_tiny_student(tmp_path / "shape")
    (shape / "model.safetensors").unlink()
    storage = Storage(tmp_path / "run")
    storage.write_rows("problems/eval/easy.parquet", Problem, [problem(0)])
    first, again = (
        evaluate(job(storage, shape, init="random", seed=4, out=f"base/{name}")) for name in ("first", "again")
    )
    assert first["n"] == 1 and first["seed"] == 4
    assert (
        read_answers(storage, "base/first") == read_answers(storage, "base/again")
        and first["tokens"] == again["tokens"]
    )
    with pytest.raises(StudentError, match=r"lacks|cannot be loaded"):
        evaluate(job(storage, shape, out="base/pretrained"))
    with pytest.raises(StudentError, match="no shape to draw weights for"):
        evaluate(job(storage, tmp_path / "run", init="random", out="base/nothing"))
    assert not storage.exists("base/pretrained") and not storage.exists("base/nothing")
