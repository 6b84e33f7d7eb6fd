"""Problem augmentation: the teacher rewrites training problems, and is then asked about the new ones like about others.

    augment/requests, augment/samples   the rewriting: the same requests, journals, ledger and resume as everywhere
    problems/train, round-0/requests    a shard of new problems for each shard of training problems, numbered after

New problems have no answer until their programs were judged: see `labelling`. They stay in the shards, labelled or not,
so whatever was paid for can be looked at; only those with an answer are curated, and asked about in later rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from pad_ray.flow.expanding import TeacherRequests
from pad_ray.flow.journal import REWRITING
from pad_ray.flow.plan import HELD_OUT, shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.sampling import sample_and_judge
from pad_ray.flow.shard import Shard
from pad_ray.problems.decontamination import EvaluationRuns, Sharing, normal
from pad_ray.records import Problem, Request, Sample
from pad_ray.run import Run
from pad_ray.thoughts.rewriting import made_by, new_problem, read_rewriting


def augment(run: Run, reporter: Reporter) -> None:
    """Let the teacher make new problems, and plan what it is asked about them, unless that is done or off."""
    if not run.recipe.augment.kinds or run.done(0, "curate"):
        return
    if run.done(0, "rewrite") and run.done(0, "augment"):
        return
    run.require(0, "plan")
    sample_and_judge(run, REWRITING, reporter, judge=False)
    # Asked again after a failure that passed, the teacher may have made more. Before anything is written: whoever
    # resumes must find work to do.
    for name in ("sample", "judge"):
        if later := run.manifest.find(0, name):
            later.state = "partial"
    with run.stage(0, "augment") as stage:
        stage.counts["augmented"], stage.new = _expand(run, shards(run, REWRITING))
    kept = sum(counts.get("kept", 0) for counts in stage.counts["augmented"].values())
    reporter.say(f"  {kept:,} new problems, {run.recipe.augment.votes} solutions each")


class Cleaning:
    """What new problems must differ from: evaluation questions, and every training problem before them."""

    def __init__(self, held_out: Iterable[Problem], training: Iterable[Problem]) -> None:
        held_out = list(held_out)
        self._runs = EvaluationRuns(held_out)
        self._held_out = {hash(normal(problem.question)) for problem in held_out}
        self._seen = {hash(normal(problem.question)) for problem in training}

    def reason(self, parent: Problem, question: str) -> str:
        """Why a question cannot be used, by the names of REASONS; if it can, it counts as used from now on."""
        mark = hash(normal(question))
        if mark in self._held_out:
            return "in_evaluation"
        if mark in self._seen:
            return "repeated"
        # A gym task's templates repeat by design, in what is made of its problems too.
        if self._runs.sharing(replace(parent, question=question)) is Sharing.TEXT:
            return "shares_13_gram"
        self._seen.add(mark)
        return ""


def _expand(run: Run, base: list[Shard]) -> tuple[dict[str, dict[str, int]], int]:
    """Write the shards of new problems and their requests; returns counts by kind, and the number of requests."""
    asking = TeacherRequests(run.recipe)
    held_out = run.storage.read_rows(HELD_OUT, Problem)
    cleaning = Cleaning(held_out, run.storage.scan_rows("problems/train", Problem))
    counts: dict[str, Counter[str]] = {}
    requests = 0
    for shard in base:
        new = Shard(shard.root, 0, shard.number + len(base))
        # Those of an earlier call stay, with what was paid for them.
        found = new.problems() if new.storage.exists(new.problems_file) else {}
        parents, samples = shard.problems(), shard.samples()
        for request in shard.requests():
            made = _new_problem(request, samples.get(request.sample_id), parents[request.problem_id], found, cleaning)
            problem, kind, reason = made
            counts.setdefault(kind, Counter()).update(("asked", reason or "kept"))
            if problem is not None:
                found[problem.problem_id] = problem
        new.write_problems(found.values())
        planned = [
            one for problem in found.values() for one in asking.requests(problem, range(run.recipe.augment.votes))
        ]
        requests += new.storage.write_rows(new.file("requests"), Request, planned)
    return {kind: dict(count) for kind, count in counts.items()}, requests


def _new_problem(
    request: Request, sample: Sample | None, parent: Problem, found: dict[str, Problem], cleaning: Cleaning
) -> tuple[Problem | None, str, str]:
    """The new problem of a reply, its kind, and why there is none."""
    id_ = request.sample_id.rpartition("#")[0]
    _, kind = made_by(id_) or ("", "")
    if id_ in found:
        return found[id_], kind, ""
    if sample is None or sample.error:
        return None, kind, "no_reply"
    question, reason = read_rewriting(sample.text, sample.finish_reason, kind, parent.question)
    reason = reason or cleaning.reason(parent, question)
    return (None if reason else new_problem(parent, kind, request.k, question)), kind, reason
