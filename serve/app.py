"""The application as Ray Serve finds it: `serve run serve.app:build student=DIR`, or `import_path` in config.yaml."""

import os
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from ray.serve import Application, Deployment

from pad_ray.flow.placement import Role, here
from serve.deployments import ONGOING, QUEUE, Executor, Model
from serve.ingress import Ingress
from serve.schema import TOKEN_VARIABLE

# No postponed annotations here: Serve validates `args` with the class it finds in build's signature.


class Arguments(BaseModel):
    """What the application is built from; the `args` of config.yaml."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    student: str
    """A student folder that every replica can read."""
    name: str = ""
    """What the student is called in `model` and /healthz; default: as `student`."""
    students: dict[str, str] = Field(default={})
    """Further students by name: folders, loaded when a request first names one."""
    sandbox: str = "strict"
    """The level below which no program runs."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """Limit on one program, in seconds."""
    capacity: int = Field(default=ONGOING, ge=1, le=QUEUE)
    """Programs that one Ingress lets in at a time; what comes beyond is turned away at once, with 503. By default two
    batches of a Model, the one it decodes and the one that waits for it: where all ask alike, nobody waits longer than
    for two. With several Models, as many times that."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads of each Model on a CPU; default: every core, which suits one Model per machine."""
    gpus: float = Field(default=0, ge=0)
    """GPUs of each Model; with engine vllm its actor takes one by itself."""
    engine: Literal["auto", "transformers", "llama_cpp", "vllm"] = "auto"
    """What decodes the students; auto: what suits the machine."""
    access_log: str = ""
    """File to which each Ingress appends a JSON line per request; empty: standard output of the replica."""
    log_questions: bool = False
    """Whether these lines hold the questions."""

    @model_validator(mode="after")
    def _every_name_is_one_student(self) -> Self:
        if (first := self.name or self.student) in self.students:
            raise ValueError(f"students: {first!r} is what the first student is called; give one of them another name")
        return self


def build(arguments: Arguments) -> Application:
    """Compose the deployments, each on nodes that are for it.

    The bearer token is read from PAD_RAY_SERVE_TOKEN, here and where an Ingress starts, and nowhere else.
    """
    model = _on(Model, "serve", num_gpus=arguments.gpus)
    executor = _on(Executor, "sandbox").bind(arguments.sandbox, arguments.timeout_s)
    students = {arguments.name or arguments.student: arguments.student} | arguments.students
    settings = arguments.model_dump(include={"capacity", "access_log", "log_questions"})
    return _on(Ingress, "serve").bind(
        model.bind(students, arguments.threads, arguments.engine, executor),
        executor,
        students,
        settings | {"token": os.environ.get(TOKEN_VARIABLE, "")},
    )


def _on(deployment: Deployment, role: Role, **more: float) -> Deployment:
    options = {**(deployment.ray_actor_options or {}), **here().place(role), **more}
    return deployment.options(ray_actor_options=options)
