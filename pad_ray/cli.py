"""The command line. Every command imports what it needs when it runs, so that `pad-ray --help` is instant."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pad_ray import __version__
from pad_ray.cli_decode import decoders, verifier
from pad_ray.cli_jobs import add_jobs
from pad_ray.cli_look import add_looks
from pad_ray.cli_ray import connected, end_like_ctrl_c
from pad_ray.cli_recipe import RecipeArguments, recipe_and_overrides, refuse_options, refuse_recipe
from pad_ray.cli_study import study
from pad_ray.cli_tools import AsJson, Rounded, add_tools, evaluation_lines
from pad_ray.errors import PadRayError, UsageError
from pad_ray.terminal import console

if TYPE_CHECKING:
    from pad_ray.flow.progress import Reporter
    from pad_ray.recipe import Recipe
    from pad_ray.run import Run

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM."""
RESUMABLE = ("distill", "plan", "sample", "judge", "curate", "train", "evaluate", "study")
"""Commands that hold a run folder and go on where they stopped."""

app = typer.Typer(
    name="pad-ray",
    help="Distil a teacher LLM into a small model that reasons by writing programs, every one of them executed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunDir = Annotated[
    str, typer.Option("--run-dir", help="Run folder or s3://BUCKET/PREFIX; default: storage.run_dir, else runs/NAME.")
]
Round = Annotated[int, typer.Option("--round", help="Refinement round; 0 is the teacher's.")]
StudentDir = Annotated[
    str, typer.Option("--student", metavar="DIR_OR_URI", help="A student: folder, hub id, s3:// or wheel://NAME.")
]


@app.command()
def distill(arguments: RecipeArguments = None, run_dir: RunDir = "") -> None:
    """The whole loop, from problems to a measured student.

    Called again on the same run folder, it resumes and redoes nothing that is finished.
    """
    from pad_ray.evaluate.card import write_cards
    from pad_ray.evaluate.report import write_report
    from pad_ray.evaluate.table import final_table
    from pad_ray.flow.plan import plan as write_plan
    from pad_ray.flow.plan import sentences

    with _run(arguments, run_dir) as (run, reporter):
        _bring_student(run, reporter)
        write_plan(run, 0)
        for sentence in sentences(run):
            reporter.say(f"  {sentence}")
        if run.complete:
            reporter.say(f"  nothing is left to do: all {len(run.manifest.stages)} stages are finished and reused")
        else:
            with connected(run.recipe):
                from pad_ray.refine.rounds import distill as loop

                loop(run, reporter)
    folder = str(run.storage)
    write_cards(folder)
    write_report(folder)
    console().print(final_table(folder), crop=False)


@app.command()
def plan(arguments: RecipeArguments = None, run_dir: RunDir = "") -> None:
    """Read problems and write every request; nothing is asked."""
    from pad_ray.flow.plan import plan as write_plan
    from pad_ray.flow.plan import sentences
    from pad_ray.students import check_name

    check_name(_recipe(arguments).student.model)
    with _run(arguments, run_dir) as (run, reporter):
        write_plan(run, 0)
        for sentence in sentences(run):
            reporter.say(f"  {sentence}")


@app.command()
def sample(arguments: RecipeArguments = None, run_dir: RunDir = "", round_: Round = 0) -> None:
    """Ask the teacher for every planned reply that is missing.

    Plans first, if needed. Judges nothing, but with teacher.until_correct, which asks by what was judged.
    """
    from pad_ray.flow.plan import plan as write_plan
    from pad_ray.flow.plan import sentences

    with _run(arguments, run_dir, round_) as (run, reporter):
        _bring_student(run, reporter)
        write_plan(run, round_)
        for sentence in sentences(run) if round_ == 0 else ():
            reporter.say(f"  {sentence}")
        with connected(run.recipe):
            from pad_ray.flow.augmenting import augment
            from pad_ray.flow.sampling import sample_and_judge

            augment(run, reporter)
            sample_and_judge(run, round_, reporter, judge=False)


@app.command()
def judge(arguments: RecipeArguments = None, run_dir: RunDir = "", round_: Round = 0) -> None:
    """Execute and grade every program that has no verdict yet."""
    with _run(arguments, run_dir, round_) as (run, reporter), connected(run.recipe):
        from pad_ray.flow.sampling import sample_and_judge

        sample_and_judge(run, round_, reporter, sample=False)


@app.command()
def curate(arguments: RecipeArguments = None, run_dir: RunDir = "", round_: Round = 0) -> None:
    """Turn verified programs into training examples."""
    with _run(arguments, run_dir, round_) as (run, reporter), connected(run.recipe):
        from pad_ray.flow.curating import curate as write_examples

        write_examples(run, round_, reporter)


@app.command()
def train(arguments: RecipeArguments = None, run_dir: RunDir = "", round_: Round = 0) -> None:
    """Fine-tune the student on the examples of a round."""
    with _run(arguments, run_dir, round_) as (run, reporter), connected(run.recipe):
        from pad_ray.flow.training import train_round

        _bring_student(run, reporter)
        train_round(run, round_, reporter)


@app.command()
def evaluate(
    context: typer.Context,
    arguments: RecipeArguments = None,
    run_dir: RunDir = "",
    round_: Round = 0,
    student: StudentDir = "",
    problems: Annotated[str, typer.Option(help="Problems to answer: a file or URI (with --student).")] = "",
    out: Annotated[
        str, typer.Option(help="Folder (or s3://) for summary.json and answers.jsonl (with --student).")
    ] = "",
    decode: Annotated[str, typer.Option(help="greedy, vote, beam or repair.")] = "greedy",
    samples: Annotated[int, typer.Option(min=1, help="Programs per question, for vote.")] = 8,
    max_tokens: Annotated[int, typer.Option(min=1, help="Limit on one answer, in tokens (with --student).")] = 256,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer only this many problems.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sampling.")] = 0,
    rounded: Rounded = False,
    engine: Annotated[str, typer.Option(help="transformers, llama_cpp or vllm (with --student).")] = "transformers",
    as_json: AsJson = False,
) -> None:
    """Measure a run's student, or any student on any problems."""
    if not student:
        refuse_options(context)
        with _run(arguments, run_dir, round_, first=-1) as (run, reporter), connected(run.recipe):
            from pad_ray.refine.rounds import evaluate_round

            _bring_student(run, reporter)
            evaluate_round(run, round_, reporter)
        return
    refuse_recipe(arguments, run_dir, round_)
    if not problems or not out:
        raise UsageError("evaluate --student also needs --problems and --out.")
    from pad_ray.flow.progress import Reporter
    from pad_ray.flow.standalone import evaluate_student, measuring_engine

    measured_by = measuring_engine(engine)
    with Reporter() as reporter, connected():
        summary = evaluate_student(
            student,
            problems,
            out,
            decode=decode,
            samples=samples,
            max_tokens=max_tokens,
            limit=limit,
            seed=seed,
            rounded=rounded,
            engine=measured_by,
            reporter=reporter,
        )
    typer.echo(json.dumps(summary) if as_json else evaluation_lines(summary, out))


for command in (study, decoders, verifier):
    app.command()(command)
add_tools(app)
add_looks(app)
add_jobs(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"pad-ray {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    # main() takes --debug out before anything is parsed, so that it may stand behind a command too.
    pass


def main() -> None:
    """Entry point: errors become one sentence and the exit codes of the contract."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except PadRayError as error:
        if debug:
            traceback.print_exc()
        _end(str(error), error.exit_code)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _end(f"interrupted{'; the same command resumes' if _resumes(sys.argv[1:]) else ''}.", INTERRUPTED)
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        _end(f"{type(error).__name__}: {error} (a defect of pad_ray; --debug shows where).", 1)


def _resumes(arguments: list[str]) -> bool:
    """Whether a call holds a run folder; an evaluation of any student does not."""
    in_a_run = any(argument in RESUMABLE for argument in arguments[:1])
    return in_a_run and not any(argument.startswith("--student") for argument in arguments)


def _end(sentence: str, code: int) -> NoReturn:
    typer.echo(f"pad-ray: {sentence}", err=True)
    sys.exit(code)


def _recipe(arguments: list[str] | None) -> Recipe:
    from pad_ray.recipe_file import load_recipe

    return load_recipe(*recipe_and_overrides(arguments))


def _bring_student(run: Run, reporter: Reporter) -> None:
    from pad_ray.flow.students import bring_base_student

    bring_base_student(run, lambda sentence: reporter.say(f"  {sentence}"))


@contextmanager
def _run(arguments: list[str] | None, run_dir: str, round_: int = 0, first: int = 0) -> Iterator[tuple[Run, Reporter]]:
    """The run of a recipe, held by this process, and the progress display; SIGTERM ends it like Ctrl-C.

    Raises UsageError for a round before `first` or behind the recipe's last, before anything is written.
    """
    from pad_ray.flow.progress import Reporter
    from pad_ray.run import open_run

    recipe = _recipe(arguments)
    last = recipe.refine.rounds
    if not first <= round_ <= last:
        raise UsageError(f"--round: {round_} is not between {first} and {last} (refine.rounds of this recipe).")
    end_like_ctrl_c()
    with open_run(recipe, run_dir) as run, Reporter() as reporter:
        reporter.say(f"pad-ray: recipe {recipe.name} in {run.storage}")
        for key in recipe.ignored():
            reporter.say(f"  note: {key} is set, but this recipe makes no use of it")
        yield run, reporter


if __name__ == "__main__":
    main()
