"""One sample of a run, whole: question, reply, verdict, and what became of it; and which samples there are."""

from __future__ import annotations

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pad_ray import fate
from pad_ray.errors import UsageError
from pad_ray.evaluate.folder import read_json, rounds
from pad_ray.flow.journal import REWRITING, round_folder
from pad_ray.flow.shard import Shard
from pad_ray.outcomes import Outcome
from pad_ray.recipe import Recipe
from pad_ray.records import Example, Problem, Request, Sample, Verdict, form_of
from pad_ray.run import stored_recipe
from pad_ray.status import read_manifest
from pad_ray.storage import Storage, to_row
from pad_ray.thoughts.rewriting import REASONS, made_by, read_rewriting

EXAMPLES_OF_EACH = 3
"""Sample ids that are listed of each outcome."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One sample whole. Its parts are None while the run has not come to them."""

    round: int
    request: Request
    problem: Problem
    sample: Sample | None
    verdict: Verdict | None
    examples: list[Example]
    """The examples made of it."""
    trained: list[int]
    """Rounds in which one of them was trained on (as new or as replay)."""
    reasons: list[str]
    """Why it became none, by the names that curation counts: one, or all that are possible."""
    fate: str
    """What became of it, in a sentence."""

    def to_row(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return to_row(self)


@dataclass(frozen=True, slots=True)
class Found:
    """The samples of one round with one outcome; outcome `not_judged` where there is no verdict yet."""

    round: int
    outcome: str
    count: int
    sample_ids: list[str]
    """Some of them, of different problems where there are several."""


def show(run_dir: str | Path, sample_id: str) -> Whole:
    """One sample whole. Raises UsageError for a folder that is no run, or an id it does not have (naming near ones)."""
    manifest = read_manifest(run_dir)
    storage = Storage(run_dir)
    shard = _shard_of(storage, sample_id)
    request = next(request for request in shard.requests() if request.sample_id == sample_id)
    recipe = stored_recipe(storage)
    of_problem = _examples(shard, request.problem_id)
    # Later rounds may have injected errors into its program.
    later = [Shard(shard.root, number, shard.number) for number in rounds(storage) if number > shard.round >= 0]
    made = [*of_problem, *(one for other in later for one in _examples(other, request.problem_id))]
    examples = [one for one in made if _is_of(one.example_id, sample_id)]
    sample, verdict = shard.samples().get(sample_id), shard.verdicts().get(sample_id)
    curated = manifest.find(shard.round, "curate")
    trained = [number for number in rounds(storage) if _in_mixture(storage, number, examples)]
    found: list[str] = []
    if shard.round == REWRITING:
        said = _rewritten(shard, request, sample)
    elif sample is None:
        said = "It was planned, and nobody was asked yet."
    elif verdict is None:
        said = f"It was not judged yet: `{_stage('judge', shard)}` does that, or `pad-ray distill`."
    elif curated is None or curated.state != "done":
        chance = "" if verdict.outcome is Outcome.CORRECT or shard.round else " It will become none: it is not correct."
        if verdict.outcome is Outcome.OK:
            chance = " Its problem is new, and no answer was agreed on so far."
        said = f"Its round was not curated yet, so there are no examples.{chance}"
    elif examples:
        said = _became(storage, recipe, shard.round, examples, trained)
    else:
        # Forms of reasoning are curated apart from each other.
        recipe = recipe.of(form_of(sample_id))
        case = _case(shard, request, [one for one in of_problem if one.thought == recipe.form])
        found = fate.reasons(case, recipe)
        why = fate.sentence(case, recipe, found)
        said = f"It became no example: {why}." if why else "It became no example; why cannot be told from the files."
    return Whole(
        shard.round, request, shard.problems()[request.problem_id], sample, verdict, examples, trained, found, said
    )


def listing(run_dir: str | Path) -> list[Found]:
    """Which samples there are, by round and outcome. Raises UsageError for a folder that is no run."""
    read_manifest(run_dir)
    storage = Storage(run_dir)
    found: list[Found] = []
    for number in rounds(storage):
        counts = Counter[str]()
        ids = defaultdict[str, dict[str, str]](dict)
        for shard in _shards(storage, number):
            verdicts = shard.verdicts()
            for request in shard.requests():
                verdict = verdicts.get(request.sample_id)
                outcome = verdict.outcome.value if verdict else "not_judged"
                counts[outcome] += 1
                if len(ids[outcome]) < EXAMPLES_OF_EACH:
                    ids[outcome].setdefault(request.problem_id, request.sample_id)
        order = [*(outcome.value for outcome in Outcome), "not_judged"]
        found += [
            Found(number, outcome, counts[outcome], list(ids[outcome].values())) for outcome in order if counts[outcome]
        ]
    return found


def _rewritten(shard: Shard, request: Request, sample: Sample | None) -> str:
    """What a reply to the rewriting of a problem became."""
    if sample is None:
        return "It was planned, and nobody was asked yet."
    if sample.error:
        return "The call failed, so there is no new problem."
    new_id = request.sample_id.rpartition("#")[0]
    made = Shard(shard.root, 0, shard.number + sum(1 for _ in _shards(shard.storage, REWRITING)))
    if not shard.storage.exists(made.file("requests")):
        return "New problems were not taken out of the replies yet: `pad-ray sample …` does that."
    problem = made.problems().get(new_id)
    if problem is None:
        kind = (made_by(new_id) or ("", ""))[1]
        _, reason = read_rewriting(
            sample.text, sample.finish_reason, kind, shard.problems()[request.problem_id].question
        )
        why = REASONS.get(reason, "it repeats a problem, or gives an evaluation question away")
        return f"It became no problem: {why}."
    known = f"its programs agree on {problem.answer}" if problem.answer else "no answer was agreed on so far"
    return f"It became the problem {new_id}: {known}."


def _became(storage: Storage, recipe: Recipe, round_: int, examples: list[Example], trained: list[int]) -> str:
    names = " and ".join(f"the {example.task} example {example.example_id}" for example in examples)
    summary = read_json(storage, f"round-{round_}/checkpoint/summary.json")
    if not trained:
        return f"It became {names}, {'which was not drawn into any training' if summary else 'not trained on yet'}."
    left_out = ""
    if count := summary.get("dropped_too_long"):
        left_out = f" (which left out {count} examples longer than train.max_length={recipe.train.max_length} tokens)"
    return f"It became {names}, in the training of round {' and '.join(map(str, trained))}{left_out}."


def _case(shard: Shard, request: Request, examples: list[Example]) -> fate.Case:
    samples, verdicts = shard.samples(), shard.verdicts()
    judged: list[tuple[Verdict, str]] = []
    for other in shard.requests():
        alike = form_of(other.sample_id) == form_of(request.sample_id)
        if alike and other.problem_id == request.problem_id and other.sample_id in verdicts:
            judged.append((verdicts[other.sample_id], samples[other.sample_id].entry))
        if other.sample_id == request.sample_id:
            break
    earlier = (Shard(shard.root, number, shard.number) for number in range(shard.round))
    return fate.Case(
        problem=shard.problems()[request.problem_id],
        round=shard.round,
        judged=judged,
        known=[
            example.completion
            for one in earlier
            for example in _examples(one, request.problem_id)
            if example.thought == form_of(request.sample_id)
        ],
        examples=examples,
        dropped=read_json(shard.storage, f"round-{shard.round}/examples/summary.json").get("dropped", {}),
    )


def _examples(shard: Shard, problem_id: str) -> list[Example]:
    if not shard.storage.exists(shard.file("examples")):
        return []
    rows = shard.storage.read_rows(shard.file("examples"), Example)
    return [example for example in rows if example.problem_id == problem_id]


def _is_of(example_id: str, sample_id: str) -> bool:
    """Whether an example was made of a sample; a problem's own name may hold a `!` too."""
    return example_id == sample_id or example_id.startswith(f"{sample_id}!")


def _in_mixture(storage: Storage, round_: int, examples: list[Example]) -> bool:
    name = f"round-{round_}/checkpoint/mixture.parquet"
    if not examples or not storage.exists(name):
        return False
    wanted = {example.example_id for example in examples}
    return any(example.example_id in wanted for example in storage.read_rows(name, Example))


def _stage(name: str, shard: Shard) -> str:
    return f"pad-ray {name} …{f' --round {shard.round}' if shard.round else ''}"


def _shards(storage: Storage, round_: int) -> Iterator[Shard]:
    for name in storage.names(f"{round_folder(round_)}/requests", ".parquet"):
        if match := re.search(r"shard-(\d+)\.parquet$", name):
            yield Shard(str(storage), round_, int(match[1]))


def _shard_of(storage: Storage, sample_id: str) -> Shard:
    ids: list[str] = []
    for number in (*rounds(storage), REWRITING):
        for shard in _shards(storage, number):
            here: list[str] = storage.column(shard.file("requests"), "sample_id")
            if sample_id in here:
                return shard
            ids += here
    if not ids:
        raise UsageError(f"{storage} has no samples yet.", hint="`pad-ray plan` or `pad-ray distill` plans them.")
    # A problem id, or the beginning of an id, means its samples; only then is the spelling doubted.
    near = sorted(id_ for id_ in ids if id_.startswith(sample_id))[:5] or difflib.get_close_matches(sample_id, ids, n=3)
    known = f"Near: {', '.join(near)}." if near else f"Ids look like {ids[0]}."
    raise UsageError(
        f"{storage} has no sample {sample_id!r}.",
        hint=f"{known} `pad-ray show` without an id lists some of each outcome.",
    )
