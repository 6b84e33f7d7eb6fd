"""Whether a teacher's probabilities can be those of a student's tokens; needs no model, so it can be asked early."""

from __future__ import annotations

from collections.abc import Mapping

from pad_ray.errors import StudentError


def check_kind(teacher: str, theirs: bool, ours: bool) -> None:
    """Whether teacher and student both are encoder-decoder models, or both are not. Raises StudentError."""
    if theirs != ours:
        kinds = "a causal model", "an encoder-decoder model"
        raise StudentError(
            f"train.distill.teacher: {teacher} is {kinds[theirs]} and the student is {kinds[ours]}.",
            hint="Choose a teacher of the student's kind: it scores the very tokens that the student does.",
        )


def check_tokens(teacher: str, theirs: Mapping[str, int], ours: Mapping[str, int], same_end: bool = True) -> None:
    """Whether two vocabularies are the same, id by id, and so is the end of a text. Raises StudentError."""
    if theirs != ours or not same_end:
        raise StudentError(
            f"train.distill.teacher: the tokenizer of {teacher} ({len(theirs)} tokens) is not the student's"
            f" ({len(ours)} tokens), so its probabilities are those of other tokens.",
            hint="Choose a teacher of the same family as student.model, or leave train.distill out.",
        )
