"""The one hierarchy of errors. Each says which value is wrong, why, and what to do; each survives pickling.

A bad row becomes a record (an `Outcome`); only what stops a whole run is raised.
"""

from __future__ import annotations


class PadRayError(Exception):
    """The work failed. The command line prints the message without a traceback and exits with `exit_code`."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        # Both go to Exception.args, so that pickle can rebuild the error on another process.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint))

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


def _rebuild(cls: type[PadRayError], message: str, hint: str) -> PadRayError:
    return cls(message, hint=hint)


class UsageError(PadRayError):
    """The command line, the recipe or a file the user named is wrong. Exit code 2."""

    exit_code = 2


class RecipeError(UsageError):
    """A key or value of the recipe is wrong, or the run folder belongs to another recipe."""


class ProblemError(UsageError):
    """A problem file is missing, empty or malformed; the message names the file and the line."""


class RecordingError(UsageError):
    """A recording of a teacher's replies is missing, empty or malformed; the message names the file and the line."""


class OutOfOrder(UsageError):
    """A stage was asked for before the one it builds on is finished."""


class StudentError(UsageError):
    """The student cannot be found or is not a model."""


class StorageError(PadRayError):
    """The run folder, or the cache of students, cannot be read or written."""


class LeaseError(PadRayError):
    """Another process is working on this run folder."""


class SandboxError(PadRayError):
    """The sandbox cannot reach the level that was asked for; names the missing layer and why."""


class TeacherError(PadRayError):
    """The teacher refuses everything (bad key, unknown model)."""


class TrainError(PadRayError):
    """Training or export failed."""


class NothingToTrainOn(TrainError):
    """Of all that was to be learned from nothing can be: none fits, or all of it is held out."""


class BudgetReached(PadRayError):
    """Stopped at the budget cap; everything paid for is kept and the run resumes. Exit code 3."""

    exit_code = 3
