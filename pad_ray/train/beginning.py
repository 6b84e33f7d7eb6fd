"""The objective of a training, with what it needs before the first step: the reference of pairs, or a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pad_ray.decode.loading import has_encoder, load_student
from pad_ray.storage import Storage, local_copy
from pad_ray.train.encode import Encoding
from pad_ray.train.model import CompletionScores, load_tokenizer, mixed_precision
from pad_ray.train.objectives import Completions, Distillation
from pad_ray.train.preferences import begin_preferences
from pad_ray.train.same_tokens import check_kind, check_tokens

if TYPE_CHECKING:
    from pad_ray.train.launch import TrainJob


def begin(job: TrainJob, engine: Any, encoding: Encoding, tokenizer: Any, storage: Storage, mark: str) -> Completions:
    """The objective of a job; every worker calls this while the engine has the weights that the training starts from.

    `mark` is the fingerprint of the training. Raises StudentError for a teacher that cannot teach this student.
    """
    pad, start = tokenizer.pad_token_id, engine.module.start
    if job.preference:
        return begin_preferences(job, job.preference, engine, encoding, pad, storage, mark)
    if job.teacher and (settings := job.settings.distill):
        teacher = load_teacher(job, engine.device, tokenizer, encoding.apart)
        return Distillation(encoding.rows, pad, start, teacher, len(tokenizer), settings)
    return Completions(encoding.rows, pad, start)


def load_teacher(job: TrainJob, device: Any, tokenizer: Any, apart: bool) -> CompletionScores:
    """A teacher that gives scores where the student gives some; every worker has one of its own, whole.

    Raises StudentError where its tokens are not those of the student's tokenizer, or its kind is not the student's.
    """
    folder, precision = str(local_copy(job.teacher)), job.settings.precision
    asked = job.settings.distill.teacher if job.settings.distill else job.teacher
    check_kind(asked, has_encoder(folder), apart)
    theirs = load_tokenizer(folder)
    same_end = theirs.eos_token_id == tokenizer.eos_token_id
    check_tokens(asked, theirs.get_vocab(), tokenizer.get_vocab(), same_end)
    kind = torch.device(device).type
    # Nothing is learned in its weights, so where bf16 is at home they need no more.
    half = precision == "bf16" or (precision == "auto" and kind == "cuda")
    _, model = load_student(folder, "bfloat16" if half else "float32")
    return CompletionScores(model.to(device), mixed_precision(precision, kind)).eval().requires_grad_(False)
