"""What runs as the driver of a Ray job: a command of `pad-ray`, from the scripts in jobs/ or as `-m pad_ray.jobs`."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

from pad_ray.cli import main
from pad_ray.storage.place import is_s3


def run_job(command: str) -> None:
    """Run one command with the job's own arguments, on the cluster the job was submitted to.

    The working folder of a job is a temporary copy, so the run folder must be given: absolute, or in a bucket.
    """
    arguments = sys.argv[1:]
    given = [value for flag, value in pairwise(arguments) if flag == "--run-dir"]
    given += [argument.removeprefix("--run-dir=") for argument in arguments if argument.startswith("--run-dir=")]
    shared = given and (Path(given[-1]).is_absolute() or is_s3(given[-1]))
    alone = any(argument == "--student" or argument.startswith("--student=") for argument in arguments)
    if not alone and not shared:
        print("pad-ray: a job needs --run-dir with an absolute path that all nodes share, or s3://.", file=sys.stderr)
        sys.exit(2)
    sys.argv = ["pad-ray", command, *arguments]
    main()


if __name__ == "__main__":
    run_job(sys.argv.pop(1))
