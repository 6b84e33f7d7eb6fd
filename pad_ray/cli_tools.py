"""Commands around a run: executing programs, looking at runs, asking and serving students."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pad_ray.errors import UsageError

DEFAULT_RECIPE = "quick"

StudentDir = Annotated[str, typer.Option("--student", help="Folder of a student.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_tools(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (execute, status, show, ask, compare, report, serve, recipes):
        app.command()(command)


def execute(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help='Rows {"id", "program", "answer"?, "entry"?}.')],
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Verdicts, in the same order.")],
    timeout: Annotated[float, typer.Option(min=0.01, help="Limit on one program, in seconds.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Sandboxes side by side.")] = 2,
    sandbox: Annotated[str, typer.Option(help="strict, degraded or unsafe: below it nothing runs.")] = "strict",
) -> None:
    """Run programs in the sandbox and say what became of each. Needs no teacher, no model and no Ray."""
    from pad_ray.flow.progress import Reporter
    from pad_ray.grading.execute import execute_file

    if sandbox not in ("strict", "degraded", "unsafe"):
        raise UsageError(f"--sandbox: {sandbox!r} is not strict, degraded or unsafe.")
    with Reporter() as reporter, reporter.bar("execute", 0, "programs") as bar:

        def show(done: int, total: int) -> None:
            bar.total(total)
            bar.to(done)

        outcomes = execute_file(source, target, timeout_s=timeout, workers=workers, level=sandbox, on_progress=show)
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no rows")


def status(run_dir: Path, as_json: AsJson = False) -> None:
    """How far a run got, and what came of it."""
    from pad_ray.status import status as read_status

    found = read_status(run_dir)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{run_dir}: {found['state']}{' - ' + found['error'] if found['error'] else ''}")
    for stage in found["stages"]:
        who = f"round {stage['round']}" if stage["round"] >= 0 else "untrained"
        counts = f"{stage['new']:>7} new {stage['reused']:>7} reused {stage['seconds']:>8.1f} s"
        typer.echo(f"  {who:<10} {stage['stage']:<9} {stage['state']:<8} {counts}")
    for row in found["accuracy"]:
        who = f"round {row['round']}" if row["round"] >= 0 else "untrained"
        low, high = row["ci95"]
        typer.echo(f"  {who:<10} {row['suite']}: {row['accuracy']:.1%} ({low:.1%} to {high:.1%}, n={row['n']})")


def show(run_dir: Path, sample_id: str, as_json: AsJson = False) -> None:
    """One sample whole: prompt, reply, program, verdict, and what became of it."""
    from pad_ray.status import show as find

    found = find(run_dir, sample_id)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for message in found["request"]["messages"]:
        typer.echo(f"--- {message['role']}\n{message['content']}")
    if "sample" in found:
        typer.echo(f"--- reply of {found['request']['model'] or 'the teacher'}\n{found['sample']['text']}")
    if "verdict" in found:
        verdict = found["verdict"]
        typer.echo(
            f"--- program\n{verdict['program']}--- verdict\n{verdict['outcome']} {verdict['value']} {verdict['detail']}"
        )
    for example in found["examples"]:
        typer.echo(f"--- became the {example['task']} example {example['example_id']}\n{example['completion']}")
    if not found["examples"]:
        typer.echo("--- became no example")


def ask(
    question: str,
    student: StudentDir,
    decode: Annotated[str, typer.Option(help="greedy or vote.")] = "greedy",
    samples: Annotated[int, typer.Option(min=1, help="Programs to vote, for vote.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Put one question to a student and see the program behind the answer."""
    from pad_ray.flow.cluster import settle_environment
    from pad_ray.reasoner import Reasoner
    from pad_ray.storage import to_row

    settle_environment()
    with Reasoner.load(student) as reasoner:
        answer = reasoner.solve(question, decode=decode, samples=samples if decode == "vote" else 1)
    if as_json:
        typer.echo(json.dumps(to_row(answer)))
        return
    typer.echo(answer.program.rstrip() or "(no program)")
    typer.echo(
        f"\n{answer.answer if answer.answer is not None else 'no answer'}   ({answer.outcome}, {answer.seconds:.2f} s)"
    )


def compare(paths: list[Path]) -> None:
    """Paired differences between finished runs or summary.json files, with intervals."""
    from rich.console import Console

    from pad_ray.evaluate.compare import compare as pair_up
    from pad_ray.evaluate.table import comparison_table

    Console().print(comparison_table(pair_up(paths)))


def report(run_dir: Path) -> None:
    """Write report.html into a run folder."""
    from pad_ray.evaluate.report import write_report

    typer.echo(str(write_report(run_dir)))


def serve(
    student: StudentDir,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
) -> None:
    """Answer questions over HTTP with Ray Serve."""
    from serve.run import run_service

    run_service(student, host=host, port=port)


def recipes() -> None:
    """List the recipes that ship with pad_ray."""
    from pad_ray.recipe_file import builtin_recipes, load_recipe

    for name in builtin_recipes():
        typer.echo(f"{name:<10} {load_recipe(name).about}{' (default)' if name == DEFAULT_RECIPE else ''}")
