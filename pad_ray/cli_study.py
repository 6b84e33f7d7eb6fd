"""The command `study`: several arms of one recipe, compared on one page."""

from __future__ import annotations

from typing import Annotated

import typer

from pad_ray.cli_ray import connected, end_like_ctrl_c
from pad_ray.terminal import console


def study(
    file: Annotated[str, typer.Argument(metavar="STUDY.yaml", help="A study by name or .yaml path.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY.PATH=VALUE …]", help="Recipe keys, for all arms.")
    ] = None,
    run_dir: Annotated[
        str, typer.Option("--run-dir", help="Folder of the study or s3://BUCKET/PREFIX; default: runs/NAME.")
    ] = "",
) -> None:
    """Train and compare several arms that share what they can.

    Called again on the same folder, it resumes; finished arms are not touched.
    """
    from pad_ray.flow.cluster import settle_environment

    settle_environment()  # before Ray is imported, which happens with what follows
    from pad_ray.evaluate.study_page import study_table, write_pages
    from pad_ray.flow.progress import Reporter
    from pad_ray.lease import Lease
    from pad_ray.storage import Storage
    from pad_ray.study import StudyRun, forget_states, run_study
    from pad_ray.study_file import load_study

    found = load_study(file, overrides or ())
    end_like_ctrl_c()
    endpoint = found.base(file).storage.s3_endpoint
    storage = Storage(run_dir or f"runs/{found.name}", endpoint)
    storage.check()
    with Lease(storage), Reporter() as reporter:
        bound = StudyRun(found, file, storage)
        reporter.say(f"pad-ray: study {found.name} in {storage}, {len(found.arms)} arms")
        forget_states(bound)
        if all(bound.settled(task) for task in bound.tasks()):
            reporter.say("  nothing is left to do: all arms that can be made are finished")
        else:
            with connected(bound.base):
                run_study(bound, reporter)
        results = write_pages(found, storage)
    console().print(study_table(results), crop=False)
    typer.echo(f"\nThe page: {storage.where('study.html')}")
