"""Commands that send a recipe to a cluster and look after what was sent."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pad_ray.cli_recipe import RecipeArguments, recipe_and_overrides

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

Address = Annotated[
    str, typer.Option("--address", metavar="URL", help="The cluster's dashboard; default: RAY_API_SERVER_ADDRESS.")
]
Job = Annotated[str, typer.Argument(metavar="JOB", help="What `submit` called it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LEFT = 130
"""Exit code of one who stops following."""

jobs = typer.Typer(name="jobs", help="Jobs on a cluster: list, status, follow, stop.", no_args_is_help=True)


def add_jobs(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(submit)
    app.add_typer(jobs)


def submit(
    arguments: RecipeArguments = None,
    run_dir: Annotated[
        str, typer.Option("--run-dir", help="Run folder on a disk that all nodes share, or s3://BUCKET/PREFIX.")
    ] = "",
    address: Address = "",
    command: Annotated[
        Literal["distill", "sample", "train", "evaluate"], typer.Option(help="What is done with the recipe.")
    ] = "distill",
    round_: Annotated[int, typer.Option("--round", min=0, help="Refinement round, for one stage alone.")] = 0,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait: print what the job is called.")] = False,
) -> None:
    """Run a recipe on a Ray cluster, as a job.

    Its log is shown while it runs, and its exit code is the one it ended with. A job that was stopped or killed is
    submitted again with the same words and goes on.
    """
    from pad_ray import submitting
    from pad_ray.recipe_file import load_recipe

    source, overrides = recipe_and_overrides(arguments)
    recipe = load_recipe(source, overrides)
    client = _client(address)
    more = ["--round", str(round_)] if round_ else []
    job = submitting.submit(
        client,
        command,
        recipe,
        source,
        [*overrides, *more],
        run_dir,
        say=lambda sentence: typer.echo(f"pad-ray: {sentence}", err=True),
    )
    typer.echo(f"pad-ray: submitted as {job}", err=True)
    if detach:
        typer.echo(job)
    else:
        _follow(client, job)


@jobs.command("list")
def list_(address: Address = "") -> None:
    """The jobs that the cluster knows, the newest last."""
    from pad_ray import submitting

    client = _client(address)
    with submitting.plainly(client.get_address()):
        known = [job for job in client.list_jobs() if job.submission_id]
    if not known:
        typer.echo("no jobs yet", err=True)
    for job in sorted(known, key=lambda job: job.start_time or 0):
        started = datetime.fromtimestamp((job.start_time or 0) / 1000).strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{job.submission_id:<32} {started}  {submitting.sentence(job)}")


@jobs.command()
def status(job: Job, address: Address = "", as_json: AsJson = False) -> None:
    """How a job is doing, or how it ended."""
    from pad_ray import submitting

    details = submitting.details_of(_client(address), job)
    if as_json:
        ended = details.status.is_terminal()
        found = {"job": job, "status": details.status.value, "exit_code": None, **(details.metadata or {})}
        typer.echo(json.dumps(found | ({"exit_code": submitting.exit_code(details)} if ended else {})))
    else:
        typer.echo(f"{job}: {submitting.sentence(details)}")


@jobs.command()
def follow(job: Job, address: Address = "") -> None:
    """Show the log of a job from its beginning until it ends; ends with the job's exit code."""
    _follow(_client(address), job)


@jobs.command()
def stop(job: Job, address: Address = "") -> None:
    """End a job and wait until it has ended. Its run stays; the same submission goes on with it."""
    from pad_ray import submitting

    _say(job, submitting.stop(_client(address), job))


def _client(address: str) -> JobSubmissionClient:
    from pad_ray.submitting import connect

    return connect(address or os.environ.get("RAY_API_SERVER_ADDRESS", ""))


def _follow(client: JobSubmissionClient, job: str) -> None:
    from pad_ray import submitting

    try:
        details = submitting.follow(client, job, lambda text: typer.echo(text, nl=False))
    except KeyboardInterrupt:
        typer.echo(f"\npad-ray: {job} goes on. Again: `pad-ray jobs follow {job}`; end it: `jobs stop`.", err=True)
        sys.exit(LEFT)
    _say(job, details)
    if code := submitting.exit_code(details):
        raise typer.Exit(code)


def _say(job: str, details: JobDetails) -> None:
    from pad_ray.submitting import sentence

    typer.echo(f"pad-ray: {job}: {sentence(details)}.", err=True)
