"""The plan: every request of a round, expanded and cut into shards before anything is asked.

One row per problem and k with a stable `sample_id`, so n > 1 cannot silently become 1 and a resume is an anti-join.
Shards hold about a thousand problems, chosen by the hash of the problem id; all rounds use the same cut.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product, zip_longest
from typing import Any

from pad_ray.errors import ProblemError, RecipeError
from pad_ray.flow.expanding import RewriteRequests, StudentRequests, TeacherRequests, check_exemplars, digest
from pad_ray.flow.journal import REWRITING, round_folder, shard_name
from pad_ray.flow.shard import Shard
from pad_ray.flow.spending import cost_sentences
from pad_ray.problems import Intake, left_out, take_in
from pad_ray.problems.decontamination import RUN
from pad_ray.recipe import Recipe
from pad_ray.records import Problem, Request
from pad_ray.run import Run
from pad_ray.teacher.money import Outlook, longer, outlook
from pad_ray.teacher.recorded import RecordedTeacher
from pad_ray.thoughts.rewriting import MOST_BYTES, made_by

SHARD_SIZE = 1000
HELD_OUT = "problems/held_out.parquet"
"""Every problem of every suite, asked or not: what new problems must not give away."""


def shards(run: Run, round_: int) -> list[Shard]:
    """The shards of a planned round."""
    names = run.storage.names(f"{round_folder(round_)}/requests", ".parquet")
    return [Shard(str(run.storage), round_, number) for number in range(len(names))]


def plan(run: Run, round_: int) -> None:
    """Write `requests/` of a round (and, in round 0, `problems/`), unless that is done. Raises ProblemError."""
    if run.done(round_, "plan"):
        return
    if round_:
        run.require(round_ - 1, "train")
    with run.stage(round_, "plan") as stage:
        if round_ == 0:
            stage.counts = _plan_problems(run)
        recording = _recording(run.recipe) if round_ == 0 else None
        every = [
            StudentRequests(run, round_, recipe) if round_ else TeacherRequests(recipe, recording)
            for recipe in map(run.recipe.of, run.recipe.forms)
        ]
        cut = run.storage.names("problems/train", ".parquet")
        run.storage.delete(f"{round_folder(round_)}/requests")
        left = _refine_limit(run) if round_ else None
        unasked = Counter[str]()
        looks, later = defaultdict[str, Outlook](Outlook), defaultdict[str, Outlook](Outlook)
        for number, name in enumerate(cut):
            # New problems that nothing was agreed on have no answer.
            rows = [problem for problem in run.storage.read_rows(name, Problem) if problem.answer]
            if left is not None:
                rows = _share(rows, left, len(cut) - number)
                left -= len(rows)
            if recording:
                for problem in rows:
                    recording.check(problem)
            requests: list[Request] = []
            for problem, asking in product(rows, every):
                wanted = asking.count(problem)
                requests += asking.requests(problem, range(wanted))
                if not wanted and isinstance(asking, TeacherRequests):
                    unasked[asking.reason(problem)] += 1
                if most := run.recipe.teacher.until_correct if round_ == 0 else None:
                    for request in asking.requests(problem, range(wanted, most)):
                        later[request.model] = later[request.model].plus(outlook(request))
            for request in requests:
                looks[request.model] = looks[request.model].plus(outlook(request))
            stage.new += run.storage.write_rows(
                Shard(str(run.storage), round_, number).file("requests"), Request, requests
            )
        if stage.new == 0 and (recording or unasked):  # a teacher that can be asked is asked about every problem
            raise _no_replies(run, recording) if recording else _no_solutions(run, unasked)
        stage.counts["unasked"] = unasked.total()
        if unasked and not recording:
            stage.counts["unasked_by_reason"] = dict(unasked)
        rewriting = _plan_rewriting(run, cut) if round_ == 0 and run.recipe.augment.kinds else {}
        for key, said in {"outlook": looks, "outlook_later": later, "outlook_augment": rewriting}.items():
            stage.counts[key] = {model: look._asdict() for model, look in said.items()}
        if recording:
            known = {row.problem_id for name in cut for row in run.storage.read_rows(name, Problem)}
            stage.counts["unmatched_replies"] = recording.unmatched(known)


def _plan_rewriting(run: Run, cut: list[str]) -> dict[str, Outlook]:
    """Write the requests for new problems; returns what they and the programs of the new problems should take."""
    settings, rewriting, asking = run.recipe.augment, RewriteRequests(run.recipe), TeacherRequests(run.recipe)
    looks = defaultdict[str, Outlook](Outlook)
    left = settings.limit
    # Training problems may be those of another run, its new ones among them.
    ids = (problem.problem_id for problem in run.storage.scan_rows("problems/train", Problem))
    taken = {id_ for id_ in ids if made_by(id_)}
    run.storage.delete(round_folder(REWRITING))
    for number, name in enumerate(cut):
        rows = run.storage.read_rows(name, Problem)
        if left is not None:
            rows = _share(rows, left, len(cut) - number)
            left -= len(rows)
        requests = [request for problem in rows for request in rewriting.requests(problem)]
        _check_ids(requests, taken)
        run.storage.write_rows(Shard(str(run.storage), REWRITING, number).file("requests"), Request, requests)
        for request in requests:
            looks[request.model] = looks[request.model].plus(outlook(request))
        # Nobody knows the new problems yet: like their parents, and at the worst as long as they may be.
        parents = {problem.problem_id: problem for problem in rows}
        for made in requests:
            problem = replace(parents[made.problem_id], problem_id=made.sample_id.rpartition("#")[0])
            for vote in asking.requests(problem, range(settings.votes)):
                looks[vote.model] = looks[vote.model].plus(longer(outlook(vote), MOST_BYTES))
    return looks


def _check_ids(requests: list[Request], taken: set[str]) -> None:
    """Raises RecipeError if a new problem would be called like a training problem."""
    if same := taken & {request.sample_id.rpartition("#")[0] for request in requests}:
        raise RecipeError(
            f"augment.kinds: problems.train already holds a problem {min(same)!r}, as a new one would be called.",
            hint="Leave the problems that were made of others out, or give them other ids.",
        )


def _share(rows: list[Problem], left: int, shards_left: int) -> list[Problem]:
    """A shard's part of a limit, in the order of hashes, so that the limit favours no shard and no source."""
    return sorted(rows, key=lambda problem: digest(problem.problem_id))[: -(-left // shards_left)]


def _refine_limit(run: Run) -> int | None:
    """Most problems of a refinement round: what the calibration settled, where there was one."""
    return run.sizes.refine_problems if run.sizes else run.recipe.refine.limit


def _plan_problems(run: Run) -> dict[str, Any]:
    recipe = run.recipe
    suites = {name: _read(f"problems.eval.{name}", uri, name) for name, uri in recipe.problems.eval.items()}
    for place in ("problems/eval", "problems/probe", HELD_OUT):  # of a plan under another recipe
        run.storage.delete(place)
    asked: dict[str, int] = {}
    for name, suite in suites.items():
        rows = _interleaved(suite.problems)[: recipe.evaluate.limit]
        asked[name] = run.storage.write_rows(f"problems/eval/{name}.parquet", Problem, rows)
        suite.dropped["not_asked"] += len(suite.problems) - len(rows)
    probes = {name: _read(f"problems.probe.{name}", uri, name) for name, uri in recipe.problems.probe.items()}
    for name, probe in probes.items():
        rows = _interleaved(probe.problems)[: recipe.evaluate.limit]
        asked[f"probe/{name}"] = run.storage.write_rows(f"problems/probe/{name}.parquet", Problem, rows)
        probe.dropped["not_asked"] += len(probe.problems) - len(rows)
    held_out = [problem for suite in (*suites.values(), *probes.values()) for problem in suite.problems]
    if recipe.augment.kinds:
        run.storage.write_rows(HELD_OUT, Problem, held_out)
    check_exemplars(recipe, held_out)
    train = _read("problems.train", recipe.problems.train, "train", recipe.problems.limit, held_out)
    _check_probes(probes, train)
    run.storage.delete("problems/train")
    for number, rows in enumerate(_cut(train.problems, _shard_count(recipe, len(train.problems)))):
        run.storage.write_rows(f"problems/train/{shard_name(number)}.parquet", Problem, rows)
    return {
        "problems": len(train.problems),
        "dropped": dict(train.dropped),
        "overlap": train.overlap,
        "sources": dict(Counter(problem.source for problem in train.problems)),
        "suites": {name: {"problems": asked[name], "dropped": dict(+s.dropped)} for name, s in suites.items()},
        "probes": {
            name: {"problems": asked[f"probe/{name}"], "dropped": dict(+s.dropped)} for name, s in probes.items()
        },
    }


def _check_probes(probes: Mapping[str, Intake], train: Intake) -> None:
    """Raises ProblemError if a probe asks what training teaches: it would tell of learning, not of forgetting."""
    taught = {problem.source for problem in train.problems}
    for name, probe in probes.items():
        if shared := sorted(taught & {problem.source for problem in probe.problems}):
            raise ProblemError(
                f"problems.probe.{name}: its source {shared[0]!r} is one that problems.train teaches, so it cannot tell"
                " what the student forgets.",
                hint="Probe with other tasks, or move it to problems.eval.",
            )


def _interleaved(problems: Sequence[Problem]) -> list[Problem]:
    """The sources of a suite in turn, so that its first questions are a fair part of it, however few are asked."""
    by_source = defaultdict[str, list[Problem]](list)
    for problem in problems:
        by_source[problem.source].append(problem)
    return [problem for row in zip_longest(*by_source.values()) for problem in row if problem is not None]


def _read(
    key: str, uris: str | list[str], split: str, limit: int | None = None, exclude: Sequence[Problem] = ()
) -> Intake:
    try:
        return take_in(uris, split, limit=limit, exclude=exclude)
    except ProblemError as error:
        raise ProblemError(f"{key}: {error.message}", hint=error.hint) from error


def _shard_count(recipe: Recipe, problems: int) -> int:
    # Small runs are cut finer than SHARD_SIZE asks for, so that all actors have something to do.
    busy = 2 * max(recipe.teacher.workers, recipe.sandbox.workers)
    return max(-(-problems // SHARD_SIZE), min(problems, busy))


def _cut(problems: Sequence[Problem], count: int) -> list[list[Problem]]:
    shards_ = defaultdict[int, list[Problem]](list)
    for problem in problems:
        shards_[digest(problem.problem_id) % count].append(problem)
    # With few problems a shard can stay empty: the numbers are closed up, the cut is only made once.
    return [rows for _, rows in sorted(shards_.items())]


def sentences(run: Run) -> list[str]:
    """What the plan of round 0 says to the user, with everything that was left out."""
    stage = run.done(0, "plan")
    if stage is None:
        return []
    counts = stage.counts
    said = [
        f"{counts['problems']:,} training problems{_left_out(counts['dropped'])}, {stage.new + stage.reused:,} requests"
    ]
    if counts.get("overlap"):
        said.append(
            f"{counts['overlap']:,} of them share {RUN} words in a row with an evaluation question of the same gym task"
            " and stay: its templates repeat by design, with new numbers"
        )
    several = len(run.recipe.forms) > 1
    if unworked := counts.get("unasked_by_reason"):
        said.append(
            f"{counts['unasked']:,} {'times a training problem has' if several else 'training problems have'} no worked"
            f" solution in {'a' if several else 'the'} wanted form ({_spoken(unworked)})"
        )
    elif counts["unasked"]:
        said.append(f"{counts['unasked']:,} training problems have no recorded reply")
    if counts.get("unmatched_replies"):
        said.append(
            f"{counts['unmatched_replies']:,} recorded replies are not needed: they answer problems outside this"
            " training set (left out above, held out by templates=…, or of other tasks)"
        )
    said += [
        f"{kind} {name}: {s['problems']:,} problems{_left_out(s['dropped'])}"
        for kind, of in (("suite", counts["suites"]), ("probe", counts.get("probes", {})))
        for name, s in of.items()
    ]
    return [*said, *cost_sentences(run.recipe, counts)]


def _left_out(dropped: dict[str, int]) -> str:
    return f" (left out: {left_out(dropped)})" if dropped else ""


def _no_replies(run: Run, recording: RecordedTeacher) -> RecipeError:
    asked = next(run.storage.scan_rows("problems/train", Problem)).problem_id
    paths = ", ".join(run.recipe.teacher.paths)
    return RecipeError(
        f"the teacher has no reply to any of the training problems: teacher.path ({paths}) holds replies to the problem"
        f" {recording.problem_ids[0]!r} and the like, problems.train asks {asked!r} and the like.",
        hint="Ids must be the same in both: use the problems that were recorded (for gym:// the same task and seed).",
    )


def _no_solutions(run: Run, unworked: Mapping[str, int]) -> RecipeError:
    needed = "problems with calculator marks in their solutions, as those of GSM8K have them"
    if set(unworked) == {"no_sub_question"}:
        needed = "the sub-questions of each problem, in steps: [{question, answer}], or another form of reasoning"
    return RecipeError(
        "none of the training problems has a worked solution that can be written with thought:"
        f" {', '.join(run.recipe.forms)} ({_spoken(unworked)}).",
        hint=f"teacher.kind worked needs {needed}; for other problems use another kind (docs/forms.md).",
    )


def _spoken(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in sorted(reasons.items()))


def _recording(recipe: Recipe) -> RecordedTeacher | None:
    return RecordedTeacher(recipe.teacher.paths) if recipe.teacher.kind == "recorded" else None
