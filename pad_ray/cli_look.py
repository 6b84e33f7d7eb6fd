"""Commands that look and change nothing in a run: how far it got, one sample whole, what recipes there are, what works
here; and the one that writes a first recipe."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pad_ray.terminal import console, printable

if TYPE_CHECKING:
    from pad_ray.one_sample import Whole

DEFAULT_RECIPE = "laptop"
UNITS = {
    "plan": "requests",
    "rewrite": "samples",
    "augment": "requests",
    "sample": "samples",
    "judge": "verdicts",
    "curate": "examples",
    "train": "steps",
    "evaluate": "answers",
}
"""What each stage counts; the calibration counts nothing."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
RunFolder = Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run: its folder or s3:// URI.")]


def add_looks(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (status, show, recipes, init, doctor):
        app.command()(command)


def status(run_dir: RunFolder, as_json: AsJson = False) -> None:
    """How far a run got, and what came of it."""
    from pad_ray.evaluate.wording import duration, interval, percent
    from pad_ray.flow.counting import recount
    from pad_ray.status import status as read_status
    from pad_ray.status import validation_words

    found = read_status(run_dir, recount)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{run_dir}: {found['state']}{' - ' + found['error'] if found['error'] else ''}")
    for stage in found["stages"]:
        what = ""
        if unit := UNITS.get(stage["stage"]):
            count = stage["new"] + stage["reused"]
            unit = unit if count != 1 else unit.removesuffix("s")
            what = f"{count:>7,} {unit:<9} ({stage['new']:,} by the last call)"
        who = _who(stage)
        typer.echo(f"  {who:<10} {stage['stage']:<9} {stage['state']:<8} {what:<38} {duration(stage['seconds']):>14}")
    for what, said in _yields(found):
        typer.echo(f"  {what:<10} {said}")
    for row in found["validation"]:
        typer.echo(f"  {_who(row):<10} loss on {row['questions']:,} held-out questions: {validation_words(row)}")
    for row in found["accuracy"]:
        right = f"{percent(row['accuracy'])} of {row['n']} questions right (95 % interval {interval(row['ci95'])})"
        how = "" if row.get("prompt", "zero_shot") == "zero_shot" else f", asked {row['prompt'].replace('_', ' ')}"
        typer.echo(f"  {_who(row):<10} {row['suite']}{how}: {right}")


def _who(row: dict[str, Any]) -> str:
    return f"round {row['round']}" if row["round"] >= 0 else "untrained"


def _yields(found: dict[str, Any]) -> list[tuple[str, str]]:
    from pad_ray.evaluate.wording import counted
    from pad_ray.teacher.money import spend_sentence
    from pad_ray.thoughts.rewriting import augmented_sentence

    said: list[tuple[str, str]] = []
    if outcomes := found["outcomes"]:
        said.append(("verdicts", f"on the teacher's replies: {counted(outcomes)}"))
    if len(found["models"]) > 1:
        shares = (f"{model} {one.get('correct', 0):,} of {one['asked']:,}" for model, one in found["models"].items())
        said.append(("teachers", f"correct replies by model: {', '.join(shares)}"))
    for kind, counts in found["augmented"].items():
        said.append(("new", augmented_sentence(kind, counts)))
    if found["examples"]:
        said.append(("examples", f"{found['examples']:,} over all rounds"))
    if injected := found["injected"]:
        said.append(("injected", f"of these programs with an injected error: {counted(injected)}"))
    spend = found["spend"]
    if spend["completion_tokens"]:
        said.append(("spend", spend_sentence(spend)))
    return said


def show(
    run_dir: RunFolder,
    sample_id: Annotated[
        str, typer.Argument(metavar="[SAMPLE_ID]", help="Without one: some ids of each outcome.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """One sample whole, from the question to what became of it."""
    from pad_ray import one_sample
    from pad_ray.storage import to_row

    if sample_id:
        whole = one_sample.show(run_dir, sample_id)
        if as_json:
            typer.echo(json.dumps(to_row(whole)))
        else:
            _print_sample(whole)
        return
    listed = one_sample.listing(run_dir)
    if as_json:
        typer.echo(json.dumps([to_row(row) for row in listed]))
        return
    if not listed:
        typer.echo(f"{run_dir} has no samples yet: `pad-ray plan` or `pad-ray distill` plans them.")
        return
    previous = None
    for row in listed:
        if row.round != previous:
            typer.echo(f"round {row.round}: replies of the {'student' if row.round else 'teacher'}")
        previous = row.round
        name = f"{row.outcome.replace('_', ' '):<15} {row.count:>7,}  "
        for number, sample in enumerate(row.sample_ids):
            typer.echo(f"  {name if number == 0 else '':<25}  {printable(sample)}")
    typer.echo(f"\nOne of them whole: pad-ray show {shlex.quote(run_dir)} {shlex.quote(listed[0].sample_ids[0])}")


def _print_sample(whole: Whole) -> None:
    from pad_ray.thoughts import THOUGHTS

    out = console()

    def part(heading: str, text: str) -> None:
        out.print(heading, style="bold", markup=False, highlight=False)
        body = "\n".join(f"  {line}" for line in printable(text).strip("\n").splitlines()) or "  (empty)"
        out.print(f"{body}\n", markup=False, highlight=False)

    request, sample, verdict = whole.request, whole.sample, whole.verdict
    who = request.model or ("the student" if whole.round else "the teacher")
    round_ = f"round {whole.round}" if whole.round >= 0 else "rewriting"
    part(request.sample_id, f"{round_}, sample {request.k} of problem {whole.problem.problem_id}")
    part("Question", whole.problem.question)
    part("Expected answer", whole.problem.answer or "(a new problem: none was agreed on so far)")
    for message in request.messages:
        if message.content.strip() != whole.problem.question.strip():
            part(f"Prompt ({message.role})", message.content)
    if sample:
        counted = f", {sample.completion_tokens:,} tokens" if sample.completion_tokens else ""
        cut = ", cut off at its token limit" if sample.finish_reason == "length" else ""
        part(f"Reply of {who}{counted}{cut}", sample.error or sample.text)
    if verdict:
        form = request.sample_id.rpartition("#")[2].partition(".")[0]
        part(THOUGHTS[form].NAMES[0].capitalize(), verdict.program or "(none was found in the reply)")
        expected = f"; expected was {whole.problem.answer}" if whole.problem.answer else ""
        gave = f"It gave {verdict.value}{expected}." if verdict.value else ""
        ran = (
            f"It ran {1000 * verdict.seconds:.1f} ms in the sandbox (level {verdict.sandbox})."
            if verdict.seconds
            else ""
        )
        parts = (f"{verdict.outcome.value}: {verdict.outcome.meaning}", verdict.detail, gave, ran)
        part("Verdict", "\n".join(filter(None, parts)))
    for example in whole.examples:
        part(f"Taught as the {example.task} example {example.example_id}: prompt", example.prompt)
        part("and completion", example.completion)
    part("What became of it", whole.fate)


def recipes(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Print the commented source of this one.")] = "",
) -> None:
    """The recipes that ship with pad_ray."""
    from rich.table import Table
    from rich.text import Text

    from pad_ray.recipe_file import builtin_recipes, load_recipe, recipe_source
    from pad_ray.study_file import builtin_studies, load_study, study_source

    if name in builtin_studies():
        typer.echo(study_source(name), nl=False)
        return
    if name:
        typer.echo(recipe_source(name), nl=False)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("recipe", "what it does", "what it takes"):
        table.add_column(column, overflow="fold")
    for known in builtin_recipes():
        does, _, takes = load_recipe(known).about.rstrip(".").partition("; ")
        default = " (default)" if known == DEFAULT_RECIPE else ""
        table.add_row(Text(f"{known}{default}", style="bold"), Text(does), Text(takes))
    console().print(table)
    studies = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("study", "what it compares"):
        studies.add_column(column, overflow="fold")
    for known in builtin_studies():
        studies.add_row(Text(known, style="bold"), Text(load_study(known).about.rstrip(".")))
    console().print(Text(), studies, sep="\n")
    typer.echo(
        "\nRun one: pad-ray distill NAME, or pad-ray study NAME. See all of it: pad-ray recipes NAME. Write your own:"
        " pad-ray init."
    )


def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="Recipe to write.")] = Path("my_recipe.yaml"),
    problems: Annotated[str, typer.Option(help="Your training problems: a file or URI, looked at now.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a commented starter recipe for your own problems."""
    from pad_ray.starter import look_at, write_starter

    notes = look_at(problems) if problems else []
    write_starter(file, problems, force=force)
    typer.echo(f"Wrote {file}. Its comments say what the files with problems and replies look like.")
    for note in notes:
        typer.echo(f"  {note}")
    name = shlex.quote(str(file))
    typer.echo(f"Next: edit it, then check it against your files with `pad-ray plan {name}` (asks and trains nothing),")
    typer.echo(f"and run it: pad-ray distill {name}")


def doctor(as_json: AsJson = False) -> None:
    """What works on this machine, and what to do where not.

    Takes some ten seconds and changes nothing. Ends with 1 if something that is needed does not work.
    """
    from pad_ray.doctor import examine
    from pad_ray.storage import to_row

    checks = examine()
    broken = [check.check for check in checks if check.state == "problem"]
    if as_json:
        typer.echo(json.dumps([to_row(check) for check in checks]))
    else:
        out = console()
        styles = {"ok": "green", "note": "yellow", "problem": "bold red"}
        for check in checks:
            out.print(f"{check.state:<8}", style=styles[check.state], end="", highlight=False)
            out.print(f"{check.check:<11} {check.found}", markup=False, highlight=False)
            if check.mend:
                out.print(f"{'':<20}{check.mend}", style="dim", markup=False, highlight=False)
        typer.echo(f"\n{_summary(broken)}")
    if broken:
        raise typer.Exit(1)


def _summary(broken: list[str]) -> str:
    if broken:
        return f"Needed and not working: {', '.join(broken)}."
    return "Everything that is needed works; a note is about something optional."
