"""Curation of one round: per shard as remote tasks, then one look at the balance between sources."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ray

from pad_ray.curate.select import Candidate, candidates, capped, in_balance, quotas
from pad_ray.errors import TrainError
from pad_ray.flow.cluster import plain_errors
from pad_ray.flow.pairing import make_pairs
from pad_ray.flow.placement import here
from pad_ray.flow.plan import shards
from pad_ray.flow.progress import Reporter
from pad_ray.flow.shard import Shard
from pad_ray.grading.verdict import judge
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Example, Problem, Verdict, form_of
from pad_ray.refine.injection import by_operator, injected, mutants
from pad_ray.refine.on_policy import repairs
from pad_ray.run import Run
from pad_ray.sandbox import Sandbox
from pad_ray.thoughts import THOUGHTS
from pad_ray.thoughts.protocol import Thought
from pad_ray.thoughts.rewriting import made_by
from pad_ray.thoughts.several import named, words


def curate(run: Run, round_: int, reporter: Reporter) -> None:
    """Write `examples/` of a round with its summary.json, unless that is done. Raises TrainError if nothing is left."""
    if run.done(round_, "curate"):
        return
    run.require(round_, "judge")
    cut = shards(run, round_)
    curate_one = _curate_shard.options(**here().place("sandbox"))
    with run.stage(round_, "curate") as stage, plain_errors():
        with reporter.bar(f"round {round_}: curate", len(cut), "shards") as bar:
            parts: list[dict[str, Any]] = []
            for part in _gathered([curate_one.remote(shard, run.recipe) for shard in cut]):
                parts.append(part)
                bar.advance(note=f"{sum(part['kept'] for part in parts)} examples")
        share = quotas(_total(parts, "by_source"), run.recipe.curate.max_ratio)
        if any(part < 1 for part in share.values()):
            parts = list(
                _gathered([_balance_shard.remote(shard, share, part) for shard, part in zip(cut, parts, strict=True)])
            )
        summary = {
            "kept": sum(part["kept"] for part in parts),
            "dropped": _total(parts, "dropped"),
            "by_source": _yields(run, round_, parts),
            "by_task": _total(parts, "by_task"),
            "by_origin": _total(parts, "by_origin"),
            "by_operator": _total(parts, "by_operator"),
        }
        if round_ and run.recipe.refine.preference:
            summary["pairs"] = make_pairs(cut, run.recipe)
        run.storage.write(f"round-{round_}/examples/summary.json", json.dumps(summary, indent=1).encode())
        stage.counts, stage.new = {**summary, "new_examples": _new_examples(summary["by_source"])}, summary["kept"]
        if round_ == 0 and not summary["kept"]:
            text = words(named(run.recipe.thought)).NAMES[0]
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(summary["dropped"].items()))
            raise TrainError(
                f"no {text} of the teacher was verified, so there is nothing to train on ({reasons}).",
                hint=f"Look at some replies: pad-ray show {run.storage} SAMPLE_ID.",
            )


def curate_shard(shard: Shard, recipe: Recipe, box: Sandbox) -> tuple[list[Example], Counter[str]]:
    """The examples of one shard before balancing, and what was dropped by reason."""
    found, dropped = list[Example](), Counter[str]()
    for form in recipe.forms:
        examples, lost = _curate_form(shard, recipe.of(form), box)
        found += examples
        dropped += lost
    return found, dropped


def _curate_form(shard: Shard, recipe: Recipe, box: Sandbox) -> tuple[list[Example], Counter[str]]:
    """The examples in one form of reasoning."""
    thought = THOUGHTS[recipe.form]
    problems, samples, verdicts = shard.problems(), shard.samples(), shard.verdicts()
    earlier = [example for example in _earlier(shard) if example.thought == recipe.form]
    known = dict[str, list[str]]()
    for example in earlier:
        programs = known.setdefault(example.problem_id, [])
        if example.completion not in programs:
            programs.append(example.completion)
    dropped = Counter[str]()
    judged: list[tuple[Problem, Verdict, str]] = [
        (problems[request.problem_id], verdicts[request.sample_id], samples[request.sample_id].entry)
        for request in shard.requests()
        if request.sample_id in verdicts and form_of(request.sample_id) == recipe.form
    ]
    failures: list[tuple[Problem, Verdict]] = []
    if shard.round and recipe.refine.repairs and thought.repair_prompt:
        # A failure is not lost yet: it may become a repair.
        failures = [(problem, verdict) for problem, verdict, _ in judged if verdict.outcome is not Outcome.CORRECT]
        judged = [row for row in judged if row[1].outcome is Outcome.CORRECT]
    comments = recipe.teacher.commented and recipe.form == "program"
    found = candidates(thought, judged, known, recipe.curate.max_chars, dropped, comments=comments)
    successes = capped(_still_correct(thought, found, box, dropped), recipe.curate.max_per_problem, dropped)
    if shard.round and not recipe.refine.successes:
        dropped["successes_not_wanted"], successes = len(successes), []
    examples = [
        Example(
            example_id=candidate.sample_id
            if lesson.task == "solve"
            else f"{candidate.sample_id}!{lesson.task}{number}",
            task=lesson.task,
            thought=recipe.form,
            prompt=lesson.prompt,
            completion=lesson.completion,
            problem_id=candidate.problem.problem_id,
            origin="student" if shard.round else "teacher",
            round=shard.round,
            source=candidate.problem.source,
            facts=candidate.problem.facts,
        )
        for candidate in successes
        for number, lesson in enumerate(thought.lessons(candidate.problem.question, candidate.program))
    ]
    for candidate in successes:
        known.setdefault(candidate.problem.problem_id, []).append(candidate.program)
    examples += repairs(
        failures,
        known,
        thought=recipe.form,
        round_=shard.round,
        max_per_problem=recipe.curate.max_per_problem,
        max_chars=recipe.curate.max_chars,
        dropped=dropped,
    )
    if shard.round and recipe.refine.injected:
        seed = recipe.seed + recipe.refine.seed
        solved = [example for example in [*earlier, *examples] if example.task == "solve"]
        drawn = mutants(solved, recipe.refine, round_=shard.round, seed=seed, dropped=dropped)
        executed = zip(drawn, box.run([mutant.program for mutant in drawn]), strict=True)
        taught = [example.prompt for example in [*earlier, *examples]]
        examples += injected(executed, problems, round_=shard.round, taught=taught, dropped=dropped)
    return examples, dropped


@ray.remote(num_cpus=1)
def _curate_shard(shard: Shard, recipe: Recipe) -> dict[str, Any]:
    with Sandbox(level=recipe.sandbox.level, timeout_s=recipe.sandbox.timeout_s, confirm=True) as box:
        examples, dropped = curate_shard(shard, recipe, box)
    return _write(shard, examples, dropped)


@ray.remote(num_cpus=1)
def _balance_shard(shard: Shard, share: dict[str, float], part: dict[str, Any]) -> dict[str, Any]:
    examples = shard.storage.read_rows(shard.file("examples"), Example)
    kept = [example for example in examples if in_balance(example, share)]
    dropped = Counter[str](part["dropped"])
    dropped["over_balance"] += len(examples) - len(kept)
    return _write(shard, kept, dropped)


def _write(shard: Shard, examples: list[Example], dropped: Counter[str]) -> dict[str, Any]:
    shard.storage.write_rows(shard.file("examples"), Example, examples)
    return {
        "kept": len(examples),
        "dropped": dict(+dropped),
        "by_source": dict(Counter(example.source for example in examples)),
        "repairs": dict(Counter(example.source for example in examples if _is_repair(example))),
        "injected": dict(Counter(example.source for example in examples if example.origin == "injected")),
        "by_task": dict(Counter(example.task for example in examples)),
        "by_origin": dict(Counter(example.origin for example in examples)),
        "by_operator": by_operator(examples),
    }


def _is_repair(example: Example) -> bool:
    """Whether it repairs a failure of the student's own."""
    return example.task == "repair" and example.origin != "injected"


def _still_correct(thought: Thought, found: list[Candidate], box: Sandbox, dropped: Counter[str]) -> list[Candidate]:
    """Judge the rewritten texts: only what is correct in the form that will be taught may be taught."""
    kept: list[Candidate] = []
    executions = thought.conclude(box.run, [candidate.program for candidate in found])
    for candidate, execution in zip(found, executions, strict=True):
        if judge(execution, candidate.problem.answer)[0] is Outcome.CORRECT:
            kept.append(candidate)
        else:
            dropped["changed_by_rewrite"] += 1
    return kept


def _earlier(shard: Shard) -> list[Example]:
    """The examples of earlier rounds; all rounds use the same cut into shards."""
    found: list[Example] = []
    for round_ in range(shard.round):
        earlier = Shard(shard.root, round_, shard.number)
        if earlier.storage.exists(earlier.file("examples")):
            found += earlier.storage.read_rows(earlier.file("examples"), Example)
    return found


def _yields(run: Run, round_: int, parts: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """By source: samples asked and correct, examples kept, and how many of these are repairs or injected errors."""
    judged = run.manifest.find(round_, "judge")
    by_source: dict[str, dict[str, int]] = judged.counts["by_source"] if judged else {}
    made = {key: _total(parts, key) for key in ("by_source", "repairs", "injected")}
    return {
        source: {
            "asked": by_source.get(source, {}).get("asked", 0),
            "correct": by_source.get(source, {}).get("correct", 0),
            "kept": made["by_source"].get(source, 0),
            "repairs": made["repairs"].get(source, 0),
            "injected": made["injected"].get(source, 0),
        }
        # Errors are also injected into programs for problems that are not asked again.
        for source in sorted({*by_source, *made["by_source"]})
    }


def _new_examples(by_source: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Examples of problems that the teacher made, by kind."""
    found: dict[str, dict[str, int]] = {}
    for source, counts in by_source.items():
        if made := made_by(source):
            kind = found.setdefault(made[1], {"examples": 0})
            kind["examples"] += counts["kept"]
    return found


def _total(parts: list[dict[str, Any]], key: str) -> dict[str, int]:
    return dict(sum((Counter[str](part[key]) for part in parts), Counter[str]()))


def _gathered(tasks: list[Any]) -> Iterator[dict[str, Any]]:
    """Results in the order of the tasks, as they come."""
    for task in tasks:
        yield ray.get(task)
