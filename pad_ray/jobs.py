"""What the scripts in jobs/ share: a command of `pad-ray`, run as the driver of a Ray job."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

from pad_ray.cli import main


def run_job(command: str) -> None:
    """Run one command with the job's own arguments, on the cluster the job was submitted to.

    The working folder of a job is a temporary copy, so the run folder must be given, and absolute.
    """
    arguments = sys.argv[1:]
    given = [value for flag, value in pairwise(arguments) if flag == "--run-dir"]
    given += [argument.removeprefix("--run-dir=") for argument in arguments if argument.startswith("--run-dir=")]
    if "--student" not in arguments and not (given and Path(given[-1]).is_absolute()):
        print("pad-ray: a job needs --run-dir with an absolute path that all nodes share.", file=sys.stderr)
        sys.exit(2)
    sys.argv = ["pad-ray", command, *arguments]
    main()
