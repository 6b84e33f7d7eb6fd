"""Decoders of one student side by side, on the same questions and against votes of as many generated tokens.

A decoder that writes more has more chances, so what it gains over greedy says little of it. Every decoder that is
neither greedy nor a vote is therefore also compared with the vote that generates about as many tokens for a question;
how many each really generated stands beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pad_ray.errors import UsageError
from pad_ray.evaluate.arms import POOLED, once
from pad_ray.evaluate.folder import read_answers
from pad_ray.evaluate.job import EvaluateJob, finished
from pad_ray.evaluate.metrics import GradedAnswer, paired, wilson
from pad_ray.evaluate.run import evaluate_all
from pad_ray.flow.progress import Reporter
from pad_ray.outcomes import Outcome
from pad_ray.problems import take_in
from pad_ray.recipe import REPAIRS, Decode, Match, SandboxSettings
from pad_ray.records import Problem
from pad_ray.storage import Storage
from pad_ray.students import local_student, weights_mark

GREEDY = Decode()
"""What everything is compared with, and the measure of how many tokens one program takes."""
_SPEC = re.compile(r"(\w+)(?::(.*))?")

Answers = Mapping[tuple[str, str, str], GradedAnswer]
"""By suite, problem id and question."""


def decoder(spec: str) -> Decode:
    """`vote:samples=8` as settings: a kind, then keys of the recipe's section `decode`. Raises UsageError.

    `repair` is a kind here as well: greedy with two repairs, or as many as are said.
    """
    match = _SPEC.fullmatch(spec.strip())
    pairs = [pair.partition("=") for pair in (match[2] or "").split(",") if pair] if match else []
    if match is None or not all(sign for _, sign, _ in pairs):
        raise UsageError(f"--decoder: {spec!r} is not KIND or KIND:KEY=VALUE,KEY=VALUE, such as vote:samples=8.")
    try:
        said = {key: yaml.safe_load(value) for key, _, value in pairs}
        given = {"kind": "greedy", "repairs": REPAIRS} if match[1] == "repair" else {"kind": match[1]}
        return Decode.model_validate(given | said)
    except yaml.YAMLError:
        raise UsageError(f"--decoder: {spec!r}: a value is no YAML.") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        told = f"{key or 'together'}: {first['msg'].removeprefix('Value error, ')}"
        if first["type"] == "extra_forbidden":
            told = f"there is no key {key!r}"
        elif key == "kind":
            told = f"there is no kind {first['input']!r}"
        keys = ", ".join(one for one in Decode.model_fields if one != "kind")
        raise UsageError(
            f"--decoder: {spec!r}: {told}.", hint=f"Kinds: greedy, vote, beam, repair. Keys: {keys}."
        ) from None


def label(decode: Decode, tokens: int) -> str:
    """A decoder in few words, `beam 4x4 + 1 verifier + 2 repairs`; that an answer has `tokens` at most is not said."""
    kinds = {
        "greedy": "greedy",
        "vote": f"vote@{decode.samples}",
        "beam": f"beam {decode.beams}x{decode.continuations}",
    }
    parts = [kinds[decode.kind]]
    if decode.scorer:
        parts.append(f"{decode.weight:g} {decode.scorer}")
    if decode.repairs:
        parts.append(f"{decode.repairs} repair{'s' if decode.repairs > 1 else ''}")
    if decode.max_tokens != tokens:
        parts.append(f"{decode.max_tokens} tokens")
    if decode.kind != "greedy" and decode.temperature != GREEDY.temperature:
        parts.append(f"temperature {decode.temperature:g}")
    return " + ".join(parts)


def measure(
    student: str,
    suites: Mapping[str, str],
    decoders: Sequence[Decode],
    out: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    match: Match = "exact",
    reporter: Reporter,
) -> dict[str, Any]:
    """Measure a student with every decoder on every suite (name → problems), and with the votes they are compared with.

    Greedy is always there. Writes decoders.json into `out`, every evaluation in a folder of its own below, and returns
    the content; what is finished is not done again. Ray must be connected. Raises what `evaluate` raises.
    """
    greedy = GREEDY.model_copy(update={"max_tokens": max((one.max_tokens for one in decoders), default=256)})
    named = list(dict.fromkeys([greedy, *decoders]))
    if len({label(one, greedy.max_tokens) for one in named}) < len(named):
        told = ", ".join(label(one, greedy.max_tokens) for one in named)
        raise UsageError(f"--decoder: two of them are called alike: {told}.", hint="Measure them into two folders.")
    blank = EvaluateJob(
        root=str(Storage(out)),
        problems="",
        student="",
        out="",
        decode=greedy,
        sandbox=SandboxSettings(),
        seed=seed,
        match=match,
        limit=limit,
        student_name=student,
        weights=weights_mark(student),
    )
    bench = _Bench(blank, suites, reporter)
    answers = bench.ask(named, "decoders")
    partners = {one: partner(one, greedy, answers) for one in named if one.kind == "beam" or one.repairs}
    votes = [one for one in dict.fromkeys(partners.values()) if one not in named]
    answers |= bench.ask(votes, "votes of as many tokens")
    found = {
        "format_version": 1,
        "student": student,
        "suites": dict(suites),
        "seed": seed,
        "match": match,
        "limit": limit,
        "rows": rows(answers, partners),
    }
    Storage(out).write("decoders.json", (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode())
    return found


class _Bench:
    """One student and its suites, to be asked with any decoders."""

    def __init__(self, blank: EvaluateJob, suites: Mapping[str, str], reporter: Reporter) -> None:
        self._blank, self._suites, self._reporter = blank, suites, reporter
        self._storage = Storage(blank.root)
        self._taken = {suite: take_in(uri, "evaluation") for suite, uri in suites.items()}

    def ask(self, decoders: Sequence[Decode], what: str) -> dict[Decode, Answers]:
        """The answers with every decoder; what is finished is only read. `what` is the bar's label."""
        jobs = [self._job(decode, suite) for decode in decoders for suite in self._suites]
        if any(not finished(job, self._taken[Path(job.out).parts[0]].problems) for job in jobs):
            student = local_student(self._blank.student_name, say=self._reporter.say, key="student")
            jobs = [replace(job, student=str(student)) for job in jobs]
            for suite, intake in self._taken.items():
                self._storage.write_rows(_problems(suite), Problem, intake.problems)
            total = sum(len(intake.problems[: self._blank.limit]) for intake in self._taken.values())
            with self._reporter.bar(what, total * len(decoders), "answers") as bar:
                done: dict[str, int] = {}
                for step in evaluate_all(jobs):
                    done[step.job.out] = step.done
                    bar.to(sum(done.values()))
        return {
            decode: {
                (suite, one.problem_id, one.question): one
                for suite in self._suites
                for one in read_answers(self._storage, self._job(decode, suite).out)
            }
            for decode in decoders
        }

    def _job(self, decode: Decode, suite: str) -> EvaluateJob:
        folder = re.sub(r"[^\w.@]+", "-", label(decode, self._blank.decode.max_tokens))
        name = self._suites[suite]
        return replace(
            self._blank, decode=decode, problems=_problems(suite), problems_name=name, out=f"{suite}/{folder}"
        )


def partner(decode: Decode, greedy: Decode, answers: Mapping[Decode, Answers]) -> Decode:
    """The vote that generates about as many tokens as a decoder, a program being as long as a greedy one is."""
    programs = _tokens(answers[decode]) / max(1e-9, _tokens(answers[greedy]))
    samples = min(256, max(1, round(programs)))
    return greedy if samples == 1 else greedy.model_copy(update={"kind": "vote", "samples": samples})


def rows(answers: Mapping[Decode, Answers], partners: Mapping[Decode, Decode]) -> list[dict[str, Any]]:
    """One row per suite and decoder, all suites together first: accuracy, tokens, and the two paired differences.

    The first decoder is greedy.
    """
    greedy, *_ = answers
    suites = list(dict.fromkeys(suite for suite, _, _ in answers[greedy]))
    found: list[dict[str, Any]] = []
    for suite in [POOLED, *suites] if len(suites) > 1 else suites:
        for decode, every in answers.items():
            mine = _part(every, suite)
            right = sum(_rights(mine).values())
            row: dict[str, Any] = {
                "suite": suite,
                "decoder": label(decode, greedy.max_tokens),
                "decode": decode.model_dump(mode="json"),
                "n": len(mine),
                "correct": right,
                "accuracy": right / len(mine),
                "ci95": list(wilson(right, len(mine))),
                "tokens": _tokens(mine),
            }
            for name, other in (("greedy", greedy), ("equal", partners.get(decode))):
                if other is not None and other != decode:
                    theirs = _part(answers[other], suite)
                    pair = paired(_rights(theirs), _rights(mine))
                    compared = {"decoder": label(other, greedy.max_tokens), "tokens": _tokens(theirs), **asdict(pair)}
                    row[name] = {**compared, "ci95": list(pair.ci95), "verdict": pair.verdict}
            found.append(row)
    return found


def _problems(suite: str) -> str:
    return f"problems/{suite}.parquet"


def _part(answers: Answers, suite: str) -> Answers:
    asked = once(answers) if suite == POOLED else [key for key in answers if key[0] == suite]
    return {key: answers[key] for key in asked}


def _rights(answers: Answers) -> dict[tuple[str, str, str], bool]:
    return {key: one.outcome is Outcome.CORRECT for key, one in answers.items()}


def _tokens(answers: Answers) -> float:
    """Generated tokens per question."""
    return sum(one.tokens for one in answers.values()) / len(answers)
