"""Two judged rounds of one shard: the teacher solved every problem, the student some anew, and it failed at others."""

from __future__ import annotations

from pad_ray.flow.shard import Shard
from pad_ray.outcomes import Outcome
from pad_ray.records import Message, Problem, Request, Sample, Verdict, sample_id
from pad_ray.storage import Storage

PROBLEMS = 12
TAUGHT = "def solution():\n    boxes = {n}\n    cards = boxes * 3\n    result = cards + 1\n    return result\n"
ANEW = "def solution():\n    cards = {n} * 3\n    result = 1 + cards\n    return result\n"
FAILED = "def solution():\n    result = cards + {n}\n    return result\n"


def write_judged_rounds(storage: Storage) -> None:
    """Problems, requests, samples and verdicts; the student is asked about every problem once."""
    problems = [
        Problem(f"p{n}", f"What are {n} boxes of 3 and 1?", str(3 * n + 1), "ab"[n % 2]) for n in range(PROBLEMS)
    ]
    storage.write_rows("problems/train/shard-00000.parquet", Problem, problems)
    for round_ in (0, 1):
        requests, samples, verdicts = list[Request](), list[Sample](), list[Verdict]()
        for n, problem in enumerate(problems):
            failed = round_ == 1 and n % 3 == 0
            program = (FAILED if failed else ANEW if round_ else TAUGHT).format(n=n)
            outcome = Outcome.RUNTIME_ERROR if failed else Outcome.CORRECT
            detail = "NameError: name 'cards' is not defined" if failed else ""
            name = sample_id(problem.problem_id, "program", round_, 0)
            requests.append(Request(name, problem.problem_id, 0, (Message("user", problem.question),), "m", 0.7, 64, 0))
            samples.append(Sample(name, program))
            verdicts.append(Verdict(name, program, outcome, problem.answer, detail, sandbox="strict"))
        shard = Shard(str(storage), round_, 0)
        storage.write_rows(shard.file("requests"), Request, requests)
        storage.write_rows(shard.file("samples"), Sample, samples)
        storage.write_rows(shard.file("verdicts"), Verdict, verdicts)
