"""What can become of one sample: every end-state of the river, one sentence each."""

from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """End-state of a sample, an execution or an answer. Nothing that has more than two truths is a bool.

    Each has its `meaning`, one sentence; what was special about one case stands in `Verdict.detail`.
    """

    meaning: str
    """The end-state in one sentence."""

    def __new__(cls, value: str, meaning: str) -> Self:
        outcome = str.__new__(cls, value)
        outcome._value_ = value
        outcome.meaning = meaning
        return outcome

    OK = "ok", "The program ran and gave a usable value; there was no gold answer to compare it with."
    CORRECT = "correct", "The value equals the gold answer within the tolerance."
    WRONG_ANSWER = "wrong_answer", "The value differs from the gold answer."
    NO_ANSWER = (
        "no_answer",
        "The program ran but gave nothing that can be read as an answer (None, an odd object, a huge value),"
        " a chain never says its answer, or a system of equations has not exactly one solution.",
    )
    SYNTAX_ERROR = "syntax_error", "The text does not compile as Python, or a line of a system is no equation."
    RUNTIME_ERROR = "runtime_error", "The program raised an exception."
    TIMEOUT = "timeout", "The program used up its CPU time or its wall time."
    MEMORY = "memory", "The program asked for more memory than its limit."
    OUTPUT_LIMIT = "output_limit", "The program printed more than its limit."
    FORBIDDEN = "forbidden", "The program asked for something the sandbox denies."
    CRASHED = "crashed", "The program's process died (a signal, os._exit, a native fault)."
    UNDECIDED = "undecided", "Neither equality nor difference could be shown; never counted as correct."
    TRUNCATED = "truncated", "The reply hit its token limit before its program, chain or system was complete."
    REFUSED = "refused", "The teacher answered without giving any program, chain or system."
    TEACHER_ERROR = "teacher_error", "The call to the teacher failed."
    SANDBOX_ERROR = "sandbox_error", "The sandbox itself failed: our fault, never a label."

    @property
    def executable(self) -> bool:
        """Whether the program ran to its end and gave a value."""
        return self in _EXECUTABLE

    @property
    def trustworthy(self) -> bool:
        """Whether this is a statement about the program (and may become a label), not about our machinery."""
        return self not in _OURS


_EXECUTABLE = frozenset({Outcome.OK, Outcome.CORRECT, Outcome.WRONG_ANSWER, Outcome.UNDECIDED})
_OURS = frozenset({Outcome.SANDBOX_ERROR, Outcome.TEACHER_ERROR})
