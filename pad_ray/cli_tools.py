"""Commands beside a run: executing programs, comparing and reporting runs, asking and serving students."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from pad_ray.errors import UsageError
from pad_ray.terminal import console, printable

StudentDir = Annotated[
    str,
    typer.Option(
        "--student", metavar="DIR_OR_URI", help="A student: a folder, a hub id (owner/name), s3:// or wheel://NAME."
    ),
]
Rounded = Annotated[
    bool,
    typer.Option("--rounded", help="A number that rounds to a whole gold answer is right too, as in the PaD paper."),
]
Engine = Annotated[str, typer.Option(help="transformers, llama_cpp, vllm, or auto: what suits this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_tools(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for command in (execute, ask, compare, report, export, export_examples, serve):
        app.command()(command)


def execute(
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help='Rows {"id", "program", "answer"?, "entry"?}.')],
    target: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Verdicts, in the same order.")],
    timeout: Annotated[float, typer.Option(help="Limit on one program, in seconds.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Sandboxes side by side.")] = 2,
    sandbox: Annotated[str, typer.Option(help="strict, degraded or unsafe: below it nothing runs.")] = "strict",
    rounded: Rounded = False,
) -> None:
    """Run programs in the sandbox and say what became of each. Needs no teacher, no model and no Ray."""
    from pad_ray.flow.progress import Bar, Reporter
    from pad_ray.grading.execute import execute_file

    if sandbox not in ("strict", "degraded", "unsafe"):
        raise UsageError(f"--sandbox: {sandbox!r} is not strict, degraded or unsafe.")
    if not 0 < timeout < math.inf:
        raise UsageError(f"--timeout: {timeout:g} is no time limit.", hint="Give seconds above 0, such as 1 or 0.5.")
    with Reporter() as reporter, ExitStack() as shown:
        bars: list[Bar] = []

        def show(done: int, total: int) -> None:
            if not bars:  # the file with the programs is there, and every row of it
                bars.append(shown.enter_context(reporter.bar("execute", total, "programs")))
            bars[0].to(done)

        outcomes = execute_file(
            source, target, timeout_s=timeout, workers=workers, level=sandbox, rounded=rounded, on_progress=show
        )
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no rows"
    typer.echo(f"{told} (numbers rounded)" if rounded else told)


def ask(
    question: str,
    student: StudentDir,
    decode: Annotated[
        str | None, typer.Option(help="greedy, vote, beam or repair; default: greedy, with --samples vote.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Programs to vote; 8 if vote does not say.")] = None,
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Ask a student; see the answer and the program behind it."""
    from pad_ray.flow.cluster import settle_environment
    from pad_ray.flow.standalone import decoding
    from pad_ray.reasoner import Reasoner, check_questions
    from pad_ray.storage import to_row
    from pad_ray.thoughts.several import words

    check_questions([question])
    kind = decode or ("vote" if samples else "greedy")
    if samples and kind != "vote":
        raise UsageError(f"--samples is for votes, and --decode says {kind}.", hint="Leave one of them out.")
    settle_environment()
    settings = decoding(kind, samples or 8)
    with Reasoner.load(student, engine=engine, batch_size=settings.width) as reasoner:
        answer = reasoner.solve(question, settings)
        form = words(reasoner.thoughts)
        text, texts = form.NAMES
        done = "ran" if form.LINEWISE else f"was {form.CONCLUDED}"
    if as_json:
        typer.echo(json.dumps(to_row(answer)))
        return
    typer.echo(printable(answer.program.rstrip()) or f"(no {text})")
    given = printable(answer.answer) if answer.answer is not None else "no answer"
    told = f"the {text} {done}; nobody knows here whether it is right" if answer.outcome == "ok" else answer.outcome
    typer.echo(f"\n{given}   ({told}, {answer.seconds:.2f} s with {reasoner.engine_name})")
    if answer.detail:
        typer.echo(printable(answer.detail))
    if sum(answer.votes.values()) > 1:
        counts = ", ".join(f"{printable(value)} x{count}" for value, count in answer.votes.items())
        typer.echo(f"values of the {texts}: {counts}")


def compare(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Runs or summary.json files; NAME=RUN1,RUN2 averages several seeds."),
    ],
    out: Annotated[str, typer.Option(help="Also write this .html page, and its figures beside it as .json.")] = "",
) -> None:
    """Paired differences between finished runs, with intervals.

    A summary.json of an evaluation stands for a run of one suite.
    """
    from pad_ray.evaluate.compare import compare as pair_up
    from pad_ray.evaluate.compare_page import write_comparison
    from pad_ray.evaluate.contest import grouped, grouped_differences
    from pad_ray.evaluate.table import comparison_table

    named = any(grouped(path)[0] for path in paths)
    console().print(comparison_table(grouped_differences(paths) if named else pair_up(paths)))
    if out:
        page, figures = write_comparison(paths, out)
        typer.echo(f"The page: {page}; its figures: {figures}")


def report(run_dir: str) -> None:
    """Write report.html into a run folder."""
    from pad_ray.evaluate.report import write_report

    typer.echo(write_report(run_dir))


def export(
    student: StudentDir,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    kind: Annotated[str, typer.Option("--type", help="Weights: f16, q8_0 (half as large), bf16 or f32.")] = "f16",
) -> None:
    """Write a Llama student as a GGUF file.

    llama.cpp reads it, and what is built on that.
    """
    from pad_ray.flow.cluster import settle_environment
    from pad_ray.students import local_student
    from pad_ray.students.gguf_export import export_gguf

    settle_environment()
    export_gguf(local_student(student, key="--student"), out, kind)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:,.1f} MB")


def export_examples(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="A run: its folder or s3:// URI.")],
    out: Annotated[Path, typer.Option(help="The .jsonl file to write.")],
    form: Annotated[
        str, typer.Option("--format", help="prompt (prompt and completion) or chat (messages).")
    ] = "prompt",
    round_: Annotated[
        int | None, typer.Option("--round", help="What this round was trained on; default: all examples of all rounds.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="<str>", help="Only these: solve, repair, decompose, answer; several times."),
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option(help="A second file, of the questions that train.validation holds out.")
    ] = None,
) -> None:
    """Write verified examples for other trainers.

    TRL, Axolotl, LLaMA-Factory and others read them.
    """
    from pad_ray.exchange import export_examples as write_examples

    written = write_examples(run_dir, out, form, round_=round_, tasks=task or (), held_out=held_out)
    told = ", ".join(f"{count:,} {name}" for name, count in written.by_task.items())
    typer.echo(f"{out}: {written.examples:,} example{'s' * (written.examples != 1)} ({told})")
    if written.held_out:
        where = f"are in {held_out}" if held_out else "are left out; --held-out writes them"
        typer.echo(f"{written.held_out:,} of questions that this run never trains on (train.validation) {where}")
    if written.in_chat and form == "prompt":
        typer.echo("note: this run asked its student in a chat template (student.chat); --format chat says the same")


def serve(
    student: Annotated[
        list[str],
        typer.Option(
            metavar="<str>", help="Folder or URI of a trained student; several times: requests choose by name."
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    access_log: Annotated[str, typer.Option(help="File that gets a JSON line per request.")] = "",
    engine: Engine = "auto",
) -> None:
    """Answer questions over HTTP and in a browser (Ray Serve)."""
    from serve.run import run_service

    run_service(*student, host=host, port=port, access_log=access_log, engine=engine)


def evaluation_lines(summary: Mapping[str, Any], out: str) -> str:
    """What `evaluate --student` says of its summary."""
    from pad_ray.evaluate.wording import duration, interval, percent
    from pad_ray.thoughts.several import named, words

    lenient = ", numbers rounded" if summary.get("match") == "rounded" else ""
    right = f"{summary['correct']} of {summary['n']} questions right{lenient}: {percent(summary['accuracy'])}"
    thought = words(named(summary.get("thought", "program")))
    done = "ran to their end" if thought.LINEWISE else "gave a value"
    ran = f"{percent(summary['executable_rate'])} of the {thought.NAMES[1]} {done}"
    return (
        f"{right} (95 % interval {interval(summary['ci95'])}); {ran}.\n"
        f"{summary['tokens']:,} tokens in {duration(summary['seconds'])}. "
        f"Every answer: {out}/answers.jsonl; these figures: {out}/summary.json"
    )
