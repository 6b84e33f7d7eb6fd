"""The real service with a student that writes whatever program its question tells it to, as an injected one would.

`python parrot.py STUDENT PORT ACCESS_LOG`: STUDENT is a folder of any student; it is loaded, but not asked.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
_SUBREAPER = 36


class Parrot:
    """An engine that repeats what stands where the question is."""

    def generate(self, prompts: Sequence[str], **settings: Any) -> list[Any]:
        from pad_ray.decode.engine import Completion
        from pad_ray.thoughts.program import student_prompt

        before, after = student_prompt("\0").split("\0")
        questions = [prompt.removeprefix(before).removesuffix(after) for prompt in prompts]
        return [Completion(question, "stop", 5, len(question)) for question in questions]


def obedient(model: Any) -> Any:
    """The deployment of students, with this one in the place of each."""
    from parrot import Parrot  # not __main__'s: replicas import it by name
    from ray import serve as ray_serve

    from serve.deployments import Student

    def _load(self: Any, folder: str) -> Student:
        return replace(_loaded(self, folder), engine=Parrot())

    plain = model.func_or_class
    _loaded = plain._load
    return ray_serve.deployment(name="Model", max_ongoing_requests=64)(type("Model", (plain,), {"_load": _load}))


def main() -> None:
    """Serve until Ctrl-C."""
    # What a program leaves behind comes to this process, where it is counted, and not to init.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    os.environ["PYTHONPATH"] = str(HERE)
    sys.path.insert(0, str(HERE.parents[1]))
    from pad_ray.flow.cluster import settle_environment

    settle_environment()
    import serve.app
    from serve.run import run_service

    serve.app.Model = obedient(serve.app.Model)  # type: ignore[misc]
    student, port, log = sys.argv[1:]
    run_service(student, port=int(port), access_log=log)


if __name__ == "__main__":
    main()
