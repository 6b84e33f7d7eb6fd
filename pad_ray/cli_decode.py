"""Commands about decoding: decoders side by side, and the verifier that one of them asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pad_ray.cli_ray import connected
from pad_ray.cli_tools import AsJson, Rounded, StudentDir
from pad_ray.errors import UsageError
from pad_ray.terminal import console

DECODERS = ("greedy:repairs=2", "vote:samples=8", "beam", "beam:scorer=alignment")
"""What is compared with greedy where nothing is named; none of it needs a verifier."""


def decoders(
    student: StudentDir,
    problems: Annotated[
        list[str], typer.Option(help="A suite: a file or URI, or NAME=URI; may be given several times.")
    ],
    out: Annotated[str, typer.Option(help="Folder (or s3://) for the answers, decoders.json and decoders.md.")],
    decoder: Annotated[
        list[str] | None,
        typer.Option(help="KIND or KIND:KEY=VALUE,… as in the recipe's section decode, or repair; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer only this many problems of a suite.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    rounded: Rounded = False,
    as_json: AsJson = False,
) -> None:
    """Compare decoders of one student, also at equal tokens.

    All answer the same problems. Whatever is neither greedy nor a vote is also compared with the vote that generates
    about as many tokens.
    """
    from pad_ray.evaluate.decoders import decoder as read
    from pad_ray.evaluate.decoders import measure
    from pad_ray.evaluate.decoders_table import decoders_table, markdown
    from pad_ray.flow.progress import Reporter
    from pad_ray.storage import Storage

    wanted = [read(spec) for spec in decoder or DECODERS]
    suites = _suites(problems)
    with Reporter() as reporter, connected():
        found = measure(
            student,
            suites,
            wanted,
            out,
            limit=limit,
            seed=seed,
            match="rounded" if rounded else "exact",
            reporter=reporter,
        )
    Storage(out).write("decoders.md", markdown(found).encode())
    if as_json:
        typer.echo(json.dumps(found))
        return
    console().print(decoders_table(found), crop=False)
    typer.echo(f"\nEvery figure: {out}/decoders.json; the table: {out}/decoders.md")


def verifier(
    student: StudentDir,
    problems: Annotated[str, typer.Option(help="Training problems with answers: a file or URI. Never a test set.")],
    samples: Annotated[int, typer.Option(min=1, help="Programs the student writes for each problem.")] = 8,
    temperature: Annotated[float, typer.Option(min=0.01, help="Their sampling temperature.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="Limit on one program, in tokens.")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only this many problems.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train the verifier that beams may ask.

    The student writes programs for training problems, they are executed and judged, and a head on the student's states
    learns to tell right from wrong. It is kept in the student's folder; `decode.scorer: verifier` asks it.
    """
    from pad_ray.evaluate.wording import percent
    from pad_ray.flow.progress import Reporter
    from pad_ray.flow.verifying import check_folder, train_verifier
    from pad_ray.train.verifier import Sampling

    check_folder(student)
    sampling = Sampling(samples, temperature, max_tokens, seed)
    with Reporter() as reporter, connected():
        card = train_verifier(student, problems, sampling, limit=limit, reporter=reporter)
    if as_json:
        typer.echo(json.dumps(card))
        return
    learned = f"learned from {card['programs']:,} programs for {card['questions']:,} questions"
    share = "–" if card["auc"] is None else percent(card["auc"])
    pairs = f"right is told from wrong in {share} of pairs"
    typer.echo(
        f"{learned}, {percent(card['right'])} of all programs right. On {card['held_out']:,} programs for held-out"
        f" questions: {pairs}.\nThe verifier: {student}/verifier"
    )


def _suites(problems: list[str]) -> dict[str, str]:
    """Suites by name: the one given, or the file's."""
    found: dict[str, str] = {}
    for given in problems:
        name, sign, uri = given.partition("=")
        if not sign or not name.replace("-", "_").isidentifier():
            name, uri = Path(given.partition("?")[0]).stem or "problems", given
        if name in found:
            raise UsageError(f"--problems: two suites are called {name!r}.", hint="Give one of them a name: NAME=URI.")
        found[name] = uri
    return found
