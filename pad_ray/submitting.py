"""A recipe as a job on a cluster, through Ray's Jobs API: what travels, the log that comes back, how it ended.

With a job go the code of this package, the recipe file, and the small files beside it that the recipe names. No secret
does: keys are in the environment of the cluster. A job that was stopped or killed is submitted again and goes on.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pad_ray
from pad_ray.errors import PadRayError, UsageError
from pad_ray.flow.cluster import quiet_environment
from pad_ray.problems import task_path
from pad_ray.recipe import Recipe
from pad_ray.recipe_file import builtin_recipes
from pad_ray.storage.place import is_s3

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

LARGEST = 50_000_000
"""Bytes of the files that travel with a job; more belongs where the nodes can read it."""
READY_S = 180.0
"""How long a cluster that has just started may refuse jobs."""
SOON_S = 10.0
"""After this long the user is told what is waited for."""
STOP_S = 30
"""Seconds a stopped job has to write down how far it came, before it is killed."""
POLL_S = 0.5
STOPPED = 130
"""Exit code of a job that was stopped, as after Ctrl-C."""


def connect(address: str) -> JobSubmissionClient:
    """The jobs of a cluster, by the URL of its dashboard.

    Raises UsageError for no address, PadRayError if nobody answers there or the token is refused.
    """
    if not address:
        raise UsageError(
            "which cluster? There is no --address and no RAY_API_SERVER_ADDRESS.",
            hint="Give the URL of its dashboard, such as --address http://127.0.0.1:8265 (`ray dashboard` opens it).",
        )
    if not address.startswith(("http://", "https://")):
        raise UsageError(
            f"--address {address!r} is no URL.", hint=f"Give that of the dashboard, such as http://{address}."
        )
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    for chatty in ("dashboard.modules.dashboard_sdk", "dashboard.modules.job.sdk", "_private.runtime_env.packaging"):
        logging.getLogger(f"ray.{chatty}").setLevel(logging.WARNING)
    try:
        with plainly(address):
            return JobSubmissionClient(address)
    except AuthenticationError:
        raise PadRayError(f"the cluster at {address} does not know us.", hint=_TOKEN) from None


def submit(
    client: JobSubmissionClient,
    command: str,
    recipe: Recipe,
    source: str,
    arguments: Sequence[str],
    run_dir: str,
    say: Callable[[str], None] = lambda _: None,
) -> str:
    """Submit one command for a recipe and return the job's id.

    `source` is the recipe as the user named it, `arguments` what follows it; `say` is told if it takes long. Raises
    UsageError for a run folder that other machines cannot mean, and for files that are too large to travel.
    """
    if not Path(run_dir).is_absolute() and not is_s3(run_dir):
        raise UsageError(
            f"--run-dir {run_dir!r} means something else on every machine."
            if run_dir
            else "a job needs --run-dir: it runs on another machine.",
            hint="Name an absolute path on a disk that all nodes share, or s3://BUCKET/PREFIX.",
        )
    file = Path(source)
    name = source if source in builtin_recipes() else file.name
    entrypoint = shlex.join(["python", "-m", "pad_ray.jobs", command, name, *arguments, "--run-dir", run_dir])
    with tempfile.TemporaryDirectory(prefix="pad_ray_job_") as folder:
        luggage = Path(folder)
        shutil.copytree(
            Path(pad_ray.__file__).parent, luggage / "pad_ray", ignore=shutil.ignore_patterns("__pycache__")
        )
        if name != source or file.is_file():
            shutil.copy(file, luggage / name)
        for path in _files(recipe):
            (luggage / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, luggage / path)
        options: dict[str, Any] = {
            "entrypoint": entrypoint,
            "submission_id": f"pad_ray-{recipe.name}-{secrets.token_hex(3)}",
            "runtime_env": {
                "working_dir": folder,
                "env_vars": {
                    **quiet_environment(),
                    "PYTHONUNBUFFERED": "1",
                    "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S),
                },
            },
            "metadata": {"recipe": recipe.name, "run_dir": run_dir},
        }
        began, told = time.monotonic(), False
        while True:
            try:
                with plainly(client.get_address()):
                    return client.submit_job(**options)
            except PadRayError as error:
                # The head takes jobs only some seconds after its address is known.
                if "agent" not in error.message:
                    raise
                waited = time.monotonic() - began
                if waited > READY_S:
                    raise PadRayError(error.message, hint=_UNREADY) from None
                if waited > SOON_S and not told:
                    say(f"the head takes no jobs yet; waiting for at most {READY_S / 60:.0f} minutes")
                    told = True
            time.sleep(2)


def follow(client: JobSubmissionClient, job: str, write: Callable[[str], None]) -> JobDetails:
    """Hand on the job's log until the job has ended; returns how it did. A lost connection is made again."""
    import aiohttp

    seen = 0

    async def tail() -> None:
        nonlocal seen
        repeated = seen
        async for part in client.tail_job_logs(job):
            # After a lost connection the log comes from its beginning.
            new = part[repeated:]
            repeated = max(0, repeated - len(part))
            seen += len(new)
            write(new)

    while True:
        try:
            with plainly(client.get_address()):
                asyncio.run(tail())
        except (aiohttp.ClientError, PadRayError):
            time.sleep(POLL_S)
        details = details_of(client, job)
        if details.status.is_terminal():
            return details


def details_of(client: JobSubmissionClient, job: str) -> JobDetails:
    """What the cluster knows of a job. Raises UsageError for one it does not know."""
    try:
        with plainly(client.get_address()):
            return client.get_job_info(job)
    except PadRayError as error:
        if "does not exist" in error.message:
            raise UsageError(f"the cluster knows no job {job!r}.", hint="`pad-ray jobs list` names them.") from None
        raise


def stop(client: JobSubmissionClient, job: str) -> JobDetails:
    """Ask a job to end and wait until it has; the same submission resumes it."""
    details = details_of(client, job)
    if not details.status.is_terminal():
        with plainly(client.get_address()):
            client.stop_job(job)
    while not details.status.is_terminal():
        time.sleep(POLL_S)
        details = details_of(client, job)
    return details


def exit_code(details: JobDetails) -> int:
    """What the command would have ended with here: 0 done, 130 stopped, else its own code, or 1 if it had none."""
    from ray.job_submission import JobStatus

    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED:
        return STOPPED
    code = details.driver_exit_code
    return code if code and code > 0 else 1


def sentence(details: JobDetails) -> str:
    """How a job is doing, or how it ended and what to do."""
    from ray.job_submission import JobStatus

    run = (details.metadata or {}).get("run_dir", "its run folder")
    if details.status == JobStatus.SUCCEEDED:
        return f"done; the run is in {run}"
    if details.status == JobStatus.STOPPED:
        return f"stopped; {run} keeps what is finished, and the same submission goes on with it"
    if details.status == JobStatus.FAILED:
        code = exit_code(details)
        why = "" if details.driver_exit_code else f": {_first_line(details.message or 'nobody knows why')}"
        again = "" if code == UsageError.exit_code else "; the same submission goes on with what is finished"
        return f"ended with exit code {code}{why}{again}"
    return f"{details.status.value.lower()}; the run is in {run}"


@contextmanager
def plainly(address: str) -> Iterator[None]:
    """Turn what Ray's client raises into a PadRayError with one sentence."""
    try:
        yield
    except ConnectionError:
        raise PadRayError(
            f"no Ray dashboard answers at {address}.",
            hint="Check the address, and that `ray dashboard` or `kubectl port-forward` is running.",
        ) from None
    except RuntimeError as error:
        if re.search(r"\b401\b|\b403\b|[Uu]nauth", str(error)):
            raise PadRayError(f"the cluster at {address} does not know us.", hint=_TOKEN) from None
        raise PadRayError(f"the cluster at {address} refused: {_first_line(error)}.") from None


_TOKEN = (
    "Copy the cluster's own token into RAY_AUTH_TOKEN or ~/.ray/auth_token, and set RAY_AUTH_MODE=token; a newly"
    " generated one is not known there."
)
_UNREADY = (
    "The head's dashboard agent is not up; its dashboard_agent.log says why. Of several Rays on one machine each needs"
    " a --dashboard-agent-listen-port of its own."
)


def _files(recipe: Recipe) -> list[str]:
    """The files beside the caller that a recipe names by a relative path.

    Raises UsageError for one that is too large.
    """
    problems = recipe.problems
    named = [problems.train, *problems.eval.values(), *problems.probe.values(), recipe.teacher.paths]
    flat = [task_path(uri) or uri for uris in named for uri in ([uris] if isinstance(uris, str) else uris)]
    flat.append(recipe.teacher.exemplars)
    files = [
        uri
        for uri in dict.fromkeys(flat)
        if Path(uri).is_file() and not Path(uri).is_absolute() and ".." not in Path(uri).parts
    ]
    for file in files:
        if (size := Path(file).stat().st_size) > LARGEST:
            raise UsageError(
                f"{file} is too large to travel with a job ({size / 1e6:,.0f} MB).",
                hint="Put it on the disk that all nodes share, or in a bucket, and name it there.",
            )
    return files


def _first_line(error: object) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
