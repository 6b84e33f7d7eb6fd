"""What a training reads: its rows as token ids, and those it is only watched by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pad_ray.records import Attempt, Example, Pair
from pad_ray.storage import Storage
from pad_ray.train.curriculum import stages
from pad_ray.train.encode import Encoding, encode, encode_pairs
from pad_ray.train.held_out import split

if TYPE_CHECKING:
    from pad_ray.train.launch import TrainJob


@dataclass(frozen=True, slots=True)
class Material:
    """The rows of one training."""

    learned: Encoding
    """What is trained on."""
    held_out: Encoding
    """What the loss is measured on besides."""
    questions: int = 0
    """How many questions are held out."""


def read_material(job: TrainJob, storage: Storage, tokenizer: Any, apart: bool) -> Material:
    """Read and tokenize the rows of a job; `apart` is for encoder-decoder students.

    Raises StudentError for a tokenizer that cannot be trained with, TrainError when every question is held out.
    """
    longest = job.settings.max_length
    if job.preference:
        pairs = storage.read_rows(job.mixture, Pair)  # of held-out questions there are none
        return Material(encode_pairs(pairs, tokenizer, longest, apart, job.chat), Encoding((), 0, apart))
    examples = [one for one in storage.read_rows(job.mixture, Example) if job.task in ("", one.task)]
    learned, others = split(examples, job.settings.validation)
    attempts = storage.read_rows(job.attempts, Attempt) if job.attempts else []  # nor are there attempts
    return Material(
        _staged(job, learned, tokenizer, apart)
        if job.settings.curriculum and job.round == 0
        else encode([*learned, *attempts], tokenizer, longest, apart, job.chat),
        encode(others, tokenizer, longest, apart, job.chat),
        len({example.problem_id for example in others}),
    )


def _staged(job: TrainJob, learned: list[Example], tokenizer: Any, apart: bool) -> Encoding:
    """The rows of all stages of the curriculum, one stage after the other."""
    settings, longest = job.settings, job.settings.max_length
    cut = stages(learned, settings.curriculum, tokenizer, longest, apart, job.chat) if settings.curriculum else []
    encoded = [encode(examples, tokenizer, longest, apart, job.chat) for examples in cut]
    rows = tuple(row for stage in encoded for row in stage.rows)
    # An example that fits in no other way fits without help, as it stands in the last stage.
    return Encoding(rows, encoded[-1].dropped, apart, stages=tuple(len(stage.rows) for stage in encoded))
