"""The application as Ray Serve finds it: `serve run serve.app:build student=DIR`, or `import_path` in config.yaml."""

import os

from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application

from serve.deployments import Executor, Ingress, Model
from serve.schema import TOKEN_VARIABLE

# No postponed annotations here: Serve validates `args` with the class it finds in build's signature.


class Arguments(BaseModel):
    """What the application is built from; the `args` of config.yaml."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    student: str
    """A student folder that every replica can read."""
    name: str = ""
    """What /healthz calls the student; default: as `student`."""
    sandbox: str = "strict"
    """The level below which no program runs."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """Limit on one program, in seconds."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads of each Model on a CPU; default: every core, which suits one Model per machine."""
    gpus: float = Field(default=0, ge=0)
    """GPUs of each Model."""


def build(arguments: Arguments) -> Application:
    """Compose the deployments. The bearer token is read here, from PAD_RAY_SERVE_TOKEN, and nowhere else."""
    model = Model.options(ray_actor_options={"num_cpus": 1, "num_gpus": arguments.gpus})
    return Ingress.bind(
        model.bind(arguments.student, arguments.threads),
        Executor.bind(arguments.sandbox, arguments.timeout_s),
        arguments.name or arguments.student,
        os.environ.get(TOKEN_VARIABLE, ""),
    )
