"""Teacher `hf`: a chat model of the Hugging Face kind in the sampler's own process, on its GPU if it has one.

The messages go through the chat template of the model's tokenizer. A base model, which has none, reads the contents of
the messages with blank lines between them, and is stopped where it begins to ask itself the next question.
What all prompts begin with (instruction, exemplars) is read once for each slice of requests, not once for each.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pad_ray.errors import StudentError, TeacherError
from pad_ray.records import Message, Request, Sample
from pad_ray.students import local_student

if TYPE_CHECKING:
    from pad_ray.decode.engine import Completion

NEXT_QUESTION = "\n\nQ:"
"""How a base model goes on after its program: all questions of our prompts begin so."""


class LocalTeacher:
    """Samples from any language model of transformers, in batches."""

    def __init__(self, model: str, *, batch_size: int, threads: int) -> None:
        """`model` is a folder, a hub id or a URI (see students.sources); `threads` the CPU share of this actor.

        Raises StudentError if it is not a model or cannot be fetched.
        """
        import torch

        from pad_ray.decode.loading import load_engine

        torch.set_num_threads(threads)
        self._model = model
        folder = local_student(model, say=_unsaid, key="teacher.model")
        try:
            self._engine = load_engine(folder, batch_size=batch_size)
        except StudentError as error:
            raise StudentError(f"teacher.model: {error.message.removeprefix('student: ')}", hint=error.hint) from error

    def sample(self, requests: Sequence[Request]) -> Iterator[Sample]:
        """One Sample per Request. Raises TeacherError if the batches do not fit into the GPU's memory."""
        # What is decoded together shares temperature and limit.
        alike = defaultdict[tuple[float, int], list[Request]](list)
        for request in requests:
            alike[request.temperature, request.max_tokens].append(request)
        for (temperature, max_tokens), some in alike.items():
            started = time.monotonic()
            completions = self._generate(some, temperature, max_tokens)
            seconds = round((time.monotonic() - started) / len(some), 6)
            for request, completion in zip(some, completions, strict=True):
                yield self._sample(request, completion, seconds)

    def _generate(self, requests: list[Request], temperature: float, max_tokens: int) -> list[Completion]:
        import torch

        try:
            return self._engine.generate(
                [self._prompt(request.messages) for request in requests],
                max_tokens=max_tokens,
                temperature=temperature,
                seed=[request.seed for request in requests],
                stop="" if self._engine.chats else NEXT_QUESTION,
            )
        except torch.OutOfMemoryError as error:
            raise TeacherError(
                f"teacher.model: {self._model} with decode.batch_size {self._engine.batch_size} does not fit into the"
                " memory of the GPU.",
                hint="Lower decode.batch_size, or choose a smaller teacher.",
            ) from error

    def _prompt(self, messages: Sequence[Message]) -> str:
        if self._engine.chats:
            return self._engine.chat(messages)
        return "".join(f"{message.content}\n\n" for message in messages)

    @staticmethod
    def _sample(request: Request, completion: Completion, seconds: float) -> Sample:
        # The engine gives a row without room for a single token back as it came.
        full = completion.completion_tokens == 0
        told = f"the prompt takes {completion.prompt_tokens:,} tokens, which leaves no room in the model's context"
        return Sample(
            request.sample_id,
            completion.text,
            finish_reason="error" if full else completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            completion_tokens=completion.completion_tokens,
            latency_s=seconds,
            error=told if full else "",
            model=request.model,
        )


def _unsaid(sentence: str) -> None:
    """The driver has said it, where it fetched the model first."""
