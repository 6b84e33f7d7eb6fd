"""What the author of a failed program is told of it, the same when repairs are learned and when they are asked for."""

from pad_ray.outcomes import Outcome

FEEDBACK: dict[Outcome, str] = {
    Outcome.SYNTAX_ERROR: "{detail}",
    Outcome.RUNTIME_ERROR: "{detail}",
    Outcome.FORBIDDEN: "PermissionError: {detail}",
    Outcome.TIMEOUT: "TimeoutError: the program did not end in time",
    Outcome.MEMORY: "MemoryError: the program needs too much memory",
    Outcome.NO_ANSWER: "ValueError: solution() returned no answer",
    Outcome.WRONG_ANSWER: "AssertionError: the returned value is not the answer",
}
"""By outcome; the others give no repair. A wrong answer is known as such only where the gold answer is."""
