"""The recipe: one YAML file, one pydantic tree, a sentence under every key.

Everything a run depends on is here and nowhere else (secrets excepted: those come from the environment).
The resolved recipe and its hash are written into the run folder, so a run can always say what it was.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, field_validator, model_validator

from pad_ray.recipe_augment import Augment
from pad_ray.recipe_distill import IGNORED as NOT_DISTILLED
from pad_ray.recipe_refine import Refine
from pad_ray.recipe_student import Student
from pad_ray.recipe_teacher import IGNORED, Section, Teacher
from pad_ray.recipe_thought import Form, check_forms, check_thought, in_order
from pad_ray.recipe_train import Train

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that is a file name everywhere."""

Prompt = Literal["direct", "zero_shot", "few_shot"]
"""How an untrained student is asked."""

Match = Literal["exact", "rounded"]
"""When a number counts as the gold answer."""

EngineName = Literal["transformers", "llama_cpp", "vllm"]
"""What computes a student's scores."""


class Problems(Section):
    """Where the questions with known answers come from."""

    train: str | list[str]
    """URI or list of URIs: a .jsonl, .json or .parquet path or s3:// URI, hf://owner/name?config=main&split=train,
    gym://task?size=500&seed=7 (for gsm_symbolic also &templates=train or heldout), or task://NAME?path=FILE."""
    eval: dict[Name, str | list[str]] = Field(default_factory=dict[str, str | list[str]])
    """Evaluation suites by name (also a folder name), each a URI or a list of URIs."""
    probe: dict[Name, str | list[str]] = Field(default_factory=dict[str, str | list[str]])
    """Suites of tasks outside the training ones, to see what the student forgets: the untrained student and every later
    one are asked alike, in the ways of evaluate.baselines."""
    limit: int | None = Field(default=None, ge=1)
    """Use at most this many training problems (the first ones)."""
    license: str = ""
    """Their licence, for the model card."""


class SandboxSettings(Section):
    """How untrusted programs are executed."""

    level: Literal["strict", "degraded", "unsafe"] = "strict"
    """The level below which nothing runs."""
    timeout_s: float = Field(default=1.0, gt=0, le=60)
    """Limit on one program, in seconds."""
    workers: int = Field(default=2, ge=1)
    """Sandbox actors."""


class Curate(Section):
    """Which verified programs become training examples."""

    max_per_problem: int = Field(default=4, ge=1)
    """Keep at most this many new programs of one problem in a round (successes and repairs counted apart; injected
    errors go by refine.injected)."""
    max_ratio: float | None = Field(default=None, ge=1)
    """Thin each source, by the hash of its ids, to about this many times the smallest source; null keeps all."""
    max_chars: int = Field(default=4000, ge=1)
    """Drop longer programs."""


REPAIRS = 2
"""Turns that `repair` means where no number is said."""


class Decode(Section):
    """How the reasoner answers."""

    kind: Literal["greedy", "vote", "beam"] = "greedy"
    """greedy: one program; vote: several sampled programs vote with their values; beam: programs are written line by
    line, what raises is dropped on the way, and the best one answers."""
    samples: int = Field(default=1, ge=1, le=256)
    """Programs per question, for vote."""
    temperature: float = Field(default=0.7, ge=0, le=5)
    """Sampling temperature, for vote and beam."""
    max_tokens: int = Field(default=256, ge=1)
    """Limit on one program, in tokens."""
    batch_size: int = Field(default=32, ge=1)
    """Questions decoded together."""
    beams: int = Field(default=4, ge=1, le=32)
    """Programs per question that are on their way together, for beam."""
    continuations: int = Field(default=4, ge=1, le=32)
    """Next lines that are tried for each of them, for beam."""
    scorer: Literal["alignment", "verifier"] | None = None
    """What counts beside the likelihood of a line, for beam. alignment: how near it is to a sentence of the question,
    as in the PaD paper; verifier: the head that `pad-ray verifier` trained for the student; null: nothing."""
    weight: float = Field(default=1.0, gt=0)
    """By how much the logarithm of the scorer's share counts against the mean log-probability of a token."""
    repairs: int = Field(default=0, ge=0, le=8)
    """Turns in which a student whose program gave no value is shown the interpreter's message and writes another."""

    @model_validator(mode="after")
    def _all_of_use(self) -> Self:
        usual = type(self).model_fields
        kept = ("beams", "continuations", "scorer") if self.kind != "beam" else ("samples",)
        if unused := [key for key in kept if getattr(self, key) != usual[key].default]:
            raise ValueError(f"decode.{unused[0]} does nothing with decode.kind {self.kind}; leave it out")
        if self.scorer is None and self.weight != usual["weight"].default:
            raise ValueError("decode.weight does nothing without decode.scorer; leave it out, or name a scorer")
        if self.kind == "beam" and self.temperature == 0:
            raise ValueError(
                "decode.temperature: at 0 all continuations of a line are the same; raise it, or use greedy"
            )
        return self

    @property
    def width(self) -> int:
        """Texts that are written for one question at the same time."""
        return {"greedy": 1, "vote": self.samples, "beam": self.beams * self.continuations}[self.kind]

    def extras(self) -> dict[str, Any]:
        """The keys in use beyond kind, samples and max_tokens; a vote's temperature is none of them."""
        keys = ["beams", "continuations", "temperature"] if self.kind == "beam" else []
        keys += ["scorer", "weight"] if self.scorer else []
        keys += ["repairs"] if self.repairs else []
        return {key: getattr(self, key) for key in keys}


class Evaluate(Section):
    """How students are measured."""

    limit: int | None = Field(default=None, ge=1)
    """Questions per suite (the first ones)."""
    baselines: list[Prompt] = Field(default=["direct", "zero_shot", "few_shot"])
    """How the untrained student is asked the same questions: for the answer itself, for a program, for a program
    after four verified ones of the teacher. Empty: not at all."""
    match: Match = "exact"
    """exact: the value is the gold answer to max(1e-3, 1e-6·|gold|); rounded: also a number that rounds to a whole gold
    answer, as in the PaD paper. What becomes a training example is always judged exactly."""
    engine: EngineName = "transformers"
    """What decodes students while they are measured. The same everywhere unless it is named here, as engines round
    differently: llama_cpp, on a CPU (package xllamacpp, Llama students), or vllm, on a GPU of the cluster."""


class Budget(Section):
    """What a run may take."""

    minutes: float | None = Field(default=None, gt=0)
    """Time for the whole run: a calibration sizes training and suites so that it takes about so long; null: they are as
    large as the recipe says."""


class StorageSettings(Section):
    """Where the run lives."""

    run_dir: str = ""
    """Run folder, or s3://BUCKET/PREFIX; empty: runs/NAME in the working folder."""
    s3_endpoint: str = ""
    """URL of an S3-compatible server, for runs in a bucket; empty: AWS_ENDPOINT_URL, else AWS."""


class Recipe(Section):
    """A whole run: problems, teacher, student, and everything between."""

    name: Name
    """Short name of the run."""
    about: str = ""
    """One sentence for `pad-ray recipes`."""
    seed: int = 0
    """Seed of everything that is drawn."""
    problems: Problems
    teacher: Teacher = Teacher()
    augment: Augment = Augment()
    thought: Form | Annotated[list[Form], Field(min_length=2)] = "program"
    """The form of reasoning that is distilled. program: Python that is executed; chain: prose, step by step, whose
    answer is read; equation: a system of equations that SymPy solves in the sandbox; socratic: sub-questions, each
    answered by the same student with the answers before it. A list, such as [program, equation, chain]: one student
    learns them all, answers in each, and the values vote."""
    sandbox: SandboxSettings = SandboxSettings()
    curate: Curate = Curate()
    student: Student
    train: Train = Train()
    refine: Refine = Refine()
    decode: Decode = Decode()
    evaluate: Evaluate = Evaluate()
    budget: Budget = Budget()
    storage: StorageSettings = StorageSettings()

    _known_forms = field_validator("thought", mode="before")(check_forms)

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        self.augment.check(self.teacher)
        check_thought(self)
        if self.decode.scorer == "verifier":
            raise ValueError(
                "decode.scorer: the students of a run have no verifier while they are measured; leave it out, then"
                " train one (pad-ray verifier) and measure with it (pad-ray decoders)"
            )
        if self.problems.probe and not self.evaluate.baselines:
            raise ValueError(
                "problems.probe: with evaluate.baselines empty the untrained student is not asked, so nothing can be"
                " said of what was forgotten; list a way to ask, such as direct, or leave the probes out"
            )
        return self

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of reasoning, in the order in which they are believed; mostly one."""
        return in_order(self.thought)

    @property
    def form(self) -> str:
        """The form of reasoning, of a recipe that has one (see `of`). Raises ValueError where there are several."""
        [only] = self.forms
        return only

    def of(self, form: str) -> Self:
        """The recipe as if this form were the only one."""
        return self if self.thought == form else self.model_copy(update={"thought": form})

    def identity(self) -> dict[str, Any]:
        """The part of the recipe that the results depend on: a run folder belongs to exactly one identity."""
        tree = self.model_dump(mode="json")
        for dotted in _OPERATIONAL:
            section, _, key = dotted.partition(".")
            tree[section].pop(key)
        del tree["storage"], tree["about"]
        return tree

    def ignored(self) -> list[str]:
        """Keys that were set but that nothing uses."""
        teacher, refine = self.teacher, self.refine
        # A resolved recipe sets every key, most of them to what they are anyway.
        usual = type(teacher)()
        unused = [f"teacher.{key}" for key in IGNORED[teacher.kind] if getattr(teacher, key) != getattr(usual, key)]
        if "operators" in refine.model_fields_set and not refine.injected:
            unused.append("refine.operators")
        learns = refine.rounds and refine.fresh
        if refine.preference and not learns:
            unused.append("refine.preference")
        if (distill := self.train.distill) and distill.teacher == "self" and not refine.rounds:
            unused.append("train.distill")
        elif distill:
            keys = [*NOT_DISTILLED[distill.kind], *([] if learns else ["on_policy"])]
            unused += [f"train.distill.{key}" for key in keys if getattr(distill, key) != getattr(type(distill)(), key)]
        return unused

    def hash(self) -> str:
        """Sixteen hex digits of the identity."""
        text = json.dumps(self.identity(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """The resolved recipe, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# These change how fast or how far a run goes, never what a finished row says; they may differ between resumes.
_OPERATIONAL = (
    "teacher.workers",
    "teacher.base_url",  # where the model is reached; which one it is, teacher.model says
    "teacher.concurrency",
    "teacher.requests_per_minute",
    "teacher.tokens_per_minute",
    "teacher.timeout_s",
    "teacher.deadline_s",
    "teacher.price",  # it may be corrected; rows keep what they cost when they were asked
    "teacher.budget_usd",
    "teacher.cache",
    "teacher.runtime_env",
    "sandbox.workers",
    "train.workers",
    "train.offload",
    "train.max_failures",
    "train.checkpoint_s",
    "train.gradient_checkpointing",
    "train.tracking",
    "problems.license",
    "teacher.license",
    "student.license",
)
