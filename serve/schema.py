"""What the service accepts and says: request bodies with their limits, and the one shape of errors."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pad_ray.decode.answering import Ask
from pad_ray.recipe import REPAIRS, Decode
from pad_ray.records import Answer
from pad_ray.thoughts.several import Forms, names_of, words

TOKEN_VARIABLE = "PAD_RAY_SERVE_TOKEN"
"""The environment variable that holds the bearer token, where one is wanted."""

MAX_QUESTION_CHARS = 4_000
MAX_QUESTIONS = 32
MAX_SAMPLES = 32
"""Programs, or beams × continuations, that are written for one question at the same time."""
MAX_REPAIRS = 4
MAX_PROGRAMS = 128
MAX_TOKENS = 1_024
MAX_BODY_BYTES = 1 << 20
MAX_SEED = 2**53 - 1
"""What every JSON reader takes for a whole number."""
MAX_NAME_CHARS = 500


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class _Settings(_Body):
    """How to answer."""

    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    """Programs the student writes; more than one means a vote."""
    decode: Literal["greedy", "vote", "beam", "repair"] | None = None
    """`greedy` runs the likeliest program; `vote` takes the value most programs gave; `beam` writes line by line and
    drops what raises; `repair` is greedy with `repairs`. Default: greedy or vote, by `samples`."""
    beams: int = Field(default=4, ge=1, le=MAX_SAMPLES)
    """Programs that are on their way together, for `beam`."""
    continuations: int = Field(default=4, ge=1, le=MAX_SAMPLES)
    """Next lines that are tried for each of them, for `beam`."""
    repairs: int = Field(default=0, ge=0, le=MAX_REPAIRS)
    """Turns in which a student whose program gave no value is shown the interpreter's message; 2 for `repair`."""
    max_tokens: int = Field(default=256, ge=1, le=MAX_TOKENS)
    """Limit on one program, in tokens."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """The same question and seed get the same programs again, up to rounding where others are decoded beside them."""
    model: str = Field(default="", max_length=MAX_NAME_CHARS)
    """Which student, of those that GET /v1/models lists; default: the first."""

    @model_validator(mode="after")
    def _all_of_use(self) -> Self:
        if self.decode in ("greedy", "repair") and self.samples != 1:
            raise ValueError("greedy decoding always writes the same one program; use decode 'vote' for several")
        if self.decode == "beam" and self.samples != 1:
            raise ValueError("samples does nothing with decode 'beam'; set beams and continuations")
        if self.decode != "beam" and (self.beams, self.continuations) != (4, 4):
            raise ValueError("beams and continuations do nothing without decode 'beam'")
        if self.decode == "beam" and (width := self.beams * self.continuations) > MAX_SAMPLES:
            raise ValueError(f"beams × continuations is {width}; at most {MAX_SAMPLES} are allowed")
        return self

    def ask(self, question: str) -> Ask:
        """One question with these settings."""
        kind = self.decode or ("vote" if self.samples > 1 else "greedy")
        settings = Decode(
            kind="greedy" if kind == "repair" else kind,
            samples=self.samples,
            max_tokens=self.max_tokens,
            beams=self.beams,
            continuations=self.continuations,
            repairs=self.repairs or (REPAIRS if kind == "repair" else 0),
        )
        return Ask(question, settings, self.seed)


class SolveBody(_Settings):
    """One question."""

    question: str = Field(min_length=1, max_length=MAX_QUESTION_CHARS)
    """The question, in plain words."""
    stream: bool = False
    """Whether to send what happens as server-sent events: `path`, `program`, `step`, and at last `answer`."""

    @field_validator("question")
    @classmethod
    def _readable(cls, question: str) -> str:
        return readable(question)

    def asks(self) -> list[Ask]:
        """The question, ready to be answered."""
        return [self.ask(self.question)]


class BatchBody(_Settings):
    """Several questions, answered together and in order."""

    questions: list[str] = Field(min_length=1, max_length=MAX_QUESTIONS)
    """The questions."""

    @field_validator("questions")
    @classmethod
    def _readable(cls, questions: list[str]) -> list[str]:
        for question in questions:
            if len(question) > MAX_QUESTION_CHARS:
                raise ValueError(f"a question has {len(question)} characters; at most {MAX_QUESTION_CHARS} are allowed")
            readable(question)
        return questions

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if (programs := self.ask("").decode.width * len(self.questions)) > MAX_PROGRAMS:
            raise ValueError(f"questions × samples is {programs}; at most {MAX_PROGRAMS} programs are allowed")
        return self

    def asks(self) -> list[Ask]:
        """The questions, ready to be answered."""
        return [self.ask(question) for question in self.questions]


class BatchAnswer(BaseModel):
    """The answers to a batch."""

    answers: list[Answer]


class Writing(BaseModel):
    """What a student writes, and what is done with it, in words for people."""

    forms: list[str]
    one: str
    several: str
    concluded: str
    by_line: bool
    """Whether each of its lines can be executed and shown."""

    @classmethod
    def of(cls, thoughts: Forms) -> Writing:
        """Of a student of these forms of reasoning."""
        said = words(thoughts)
        one, several = said.NAMES
        names = names_of(thoughts)
        forms = [names] if isinstance(names, str) else names
        return cls(forms=forms, one=one, several=several, concluded=said.CONCLUDED, by_line=said.LINEWISE)


class Health(BaseModel):
    """Whether the service works, and how safely: `degraded` where the sandbox did not reach the level `strict`."""

    status: Literal["ok", "degraded"]
    sandbox: dict[str, Any]
    engine: str
    student: str
    students: list[str]
    writes: dict[str, Writing]
    version: str


class ErrorDetail(BaseModel):
    """What went wrong."""

    type: str
    message: str
    param: str | None = None


class ErrorBody(BaseModel):
    """Every reply that is not a success."""

    error: ErrorDetail


def readable(question: str) -> str:
    """The question itself. Raises ValueError if it is blank or holds half characters, which no tokenizer reads."""
    if not question.strip():
        raise ValueError("the question is empty")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise ValueError("the question holds an unpaired surrogate, so it is not valid Unicode") from None
    return question
