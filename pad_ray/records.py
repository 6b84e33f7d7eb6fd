"""The river: Problem → Request → Sample → Verdict → Example (or Pair) → Checkpoint → (Reasoner) → Answer.

Every row that flows carries its ids, so every stage is idempotent by id. Parquet columns are these field names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pad_ray.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class Step:
    """One annotated reasoning step of a problem (Socratic form)."""

    question: str
    """The sub-question."""
    answer: str
    """Its answer."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with a known answer."""

    problem_id: str
    """Unique in its split; a row without an id gets a hash of its content, gym ids are `<task>/<seed>/<index>`."""
    question: str
    """What is asked."""
    answer: str
    """The gold answer as text; it never enters a sandbox child."""
    source: str = ""
    """The task or data set it comes from; yields and balance are counted by it."""
    split: str = "train"
    """`train`, or the name of the evaluation suite."""
    rationale: str = ""
    """A worked solution in prose, where there is one."""
    steps: tuple[Step, ...] = ()
    """Annotated sub-questions with their answers, where there are some."""
    facts: tuple[str, ...] = ()
    """Supporting facts, where there are some."""


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str
    """Its text."""


@dataclass(frozen=True, slots=True)
class Request:
    """One planned call to a teacher."""

    sample_id: str
    """`<problem_id>#<thought>.r<round>.k<k>`."""
    problem_id: str
    """The problem it asks about."""
    k: int
    """Running number of the sample within its problem, from 0."""
    messages: tuple[Message, ...]
    """The prompt."""
    model: str
    """Which teacher is asked."""
    temperature: float
    """Sampling temperature; 0 is greedy."""
    max_tokens: int
    """Limit on the reply, in tokens."""
    seed: int
    """Seed of this call."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One reply of a teacher, paid for once."""

    sample_id: str
    """The Request it answers."""
    text: str
    """The raw reply."""
    finish_reason: str = "stop"
    """`stop`, `length`, `content_filter`, or `error`."""
    prompt_tokens: int = 0
    """Tokens of the prompt, as the teacher counts them, over all attempts that were billed."""
    completion_tokens: int = 0
    """Tokens of the reply, as the teacher counts them, over all attempts that were billed."""
    cost_usd: float = 0.0
    """What this reply cost, in dollars: everything that was billed for it, failed attempts included."""
    latency_s: float = 0.0
    """Seconds from asking to the last token."""
    cached: bool = False
    """Whether it came from the cache and cost nothing."""
    error: str = ""
    """Why the call failed, or empty."""
    transient: bool = False
    """Whether the failure may pass, so that a resumed run asks again."""
    worker: str = ""
    """The actor that asked."""
    entry: str = ""
    """The function or variable that holds the answer, where the recording names one."""
    model: str = ""
    """Who answered, as the teacher names itself."""
    attempts: int = 1
    """Calls it took, those of earlier runs included."""
    unsettled_usd: float = 0.0
    """The most that attempts may have cost whose billing is unknown, in dollars."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sandbox and the grader say of one Sample."""

    sample_id: str
    """The Sample judged."""
    program: str
    """The program taken out of the reply."""
    outcome: Outcome
    """What became of it."""
    value: str = ""
    """The value as canonical text, or empty."""
    detail: str = ""
    """Exception type and message, the forbidden thing, the signal…"""
    seconds: float = 0.0
    """Time the program ran."""
    sandbox: str = ""
    """The sandbox level that was active: `strict`, `degraded` or `unsafe`."""
    worker: str = ""
    """The actor that judged."""


@dataclass(frozen=True, slots=True)
class Example:
    """One verified training example."""

    example_id: str
    """The sample it comes from; mutants append `!<operator><i>`, repairs `!repair`, parts of a
    dialogue `!decompose0` and `!answer<i>`."""
    task: str
    """`solve`, `repair`, `decompose` or `answer`."""
    thought: str
    """`program`, `chain`, `socratic` or `equation`."""
    prompt: str
    """What the student reads; no loss is taken on it."""
    completion: str
    """What the student must write; the loss is taken here."""
    problem_id: str
    """The problem it teaches; splits and balance go by it."""
    origin: str
    """`teacher`, `injected` or `student`."""
    round: int
    """The refinement round that made it; 0 is the teacher's."""
    source: str = ""
    """The problem's source."""
    facts: tuple[str, ...] = ()
    """What is known about the problem, of `solve` examples; only a curriculum shows it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A verified and a failed program of the same question, of which the student is to prefer the first."""

    pair_id: str
    """The failed sample with `!pair`."""
    thought: str
    """The form of reasoning, as in Example."""
    prompt: str
    """What the student reads; no loss is taken on it."""
    chosen: str
    """A program that is taught for the question."""
    rejected: str
    """The program of the student that failed, as it wrote it."""
    problem_id: str
    """The problem of both."""
    round: int
    """The refinement round in which it failed."""
    source: str = ""
    """The problem's source."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A reply of the student, right or wrong, of which a teacher says token by token what it would have written."""

    sample_id: str
    """The Sample it is."""
    problem_id: str
    """The problem it answers."""
    prompt: str
    """What the student read."""
    completion: str
    """What it wrote, whole."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One trained state of the student."""

    path: str
    """Folder of the training state (optimizer, step), relative to the run."""
    student: str
    """The exported Hugging Face folder, relative to the run."""
    round: int
    """The round that trained it."""
    parent: str
    """The student it started from."""
    steps: int
    """Optimizer steps done."""
    tokens: int
    """Completion tokens the loss was taken on."""
    loss: float
    """Mean loss over the last tenth of the steps."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the Reasoner returns; the HTTP reply has the same fields."""

    id: str
    """Identifier of this answer."""
    answer: str | None
    """The value the program gave, as text, or None."""
    outcome: Outcome
    """`ok` when a program ran and gave a value."""
    program: str
    """The program whose value is the answer."""
    steps: tuple[dict[str, str], ...] = ()
    """The program line by line: `code` and what became of it."""
    votes: dict[str, int] = field(default_factory=dict[str, int])
    """How many sampled programs gave each value."""
    tokens: int = 0
    """Tokens generated."""
    seconds: float = 0.0
    """Time from question to answer."""
    detail: str = ""
    """What the interpreter said of the program, where it gave no value."""


def sample_id(problem_id: str, thought: str, round_: int, k: int) -> str:
    """The one spelling of a sample's identity."""
    return f"{problem_id}#{thought}.r{round_}.k{k}"


def form_of(sample_id: str) -> str:
    """The form of reasoning that a sample is asked in, by its id."""
    return sample_id.rpartition("#")[2].partition(".")[0]
