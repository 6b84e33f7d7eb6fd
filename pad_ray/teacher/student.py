"""Teacher `student`: the student solves training questions, on the same path as any other teacher."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

from pad_ray.decode.engine import Engine
from pad_ray.decode.socratic import InSteps
from pad_ray.records import Request, Sample, form_of


class StudentTeacher:
    """Samples from a student folder with the transformers engine, one batch at a time."""

    def __init__(self, student: str, *, batch_size: int, threads: int) -> None:
        """Loads the model. `threads` is the CPU share of this actor.

        Raises StudentError if the folder is not one.
        """
        import torch

        from pad_ray.decode.loading import load_engine

        torch.set_num_threads(threads)
        self._engine: Engine = load_engine(student, batch_size=batch_size)
        self._in_steps = InSteps(self._engine)

    def sample(self, requests: Sequence[Request]) -> Iterator[Sample]:
        """One Sample per Request."""
        # What is decoded together shares temperature and limit.
        alike = defaultdict[tuple[float, int, bool], list[Request]](list)
        for request in requests:
            alike[request.temperature, request.max_tokens, form_of(request.sample_id) == "socratic"].append(request)
        for (temperature, max_tokens, in_steps), some in alike.items():
            started = time.monotonic()
            completions = (self._in_steps if in_steps else self._engine).generate(
                [request.messages[-1].content for request in some],
                max_tokens=max_tokens,
                temperature=temperature,
                seed=[request.seed for request in some],
            )
            seconds = round((time.monotonic() - started) / len(some), 6)
            for request, completion in zip(some, completions, strict=True):
                yield Sample(
                    request.sample_id,
                    completion.text,
                    finish_reason=completion.finish_reason,
                    prompt_tokens=completion.prompt_tokens,
                    completion_tokens=completion.completion_tokens,
                    latency_s=seconds,
                )
