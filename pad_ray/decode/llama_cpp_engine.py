"""Generation with llama.cpp on the CPU: a student's GGUF file in a server of its own, several prompts at a time.

The server is that of the package xllamacpp. It is given token ids, as no two tokenizers need agree then, and keeps what
it has read of a prompt for the next one that begins alike. For every token it tells the log-probability, but for those
of the stop text and for parts of a character, which it holds back: each of these is asked for once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pad_ray.decode.engine import Completion
from pad_ray.decode.loading import load_tokenizer
from pad_ray.decode.student_engine import StudentEngine
from pad_ray.errors import PadRayError, StudentError
from pad_ray.students.gguf_cache import gguf_of

CONTEXT = 2048
"""Most tokens of a prompt with its completion, where the student's own context is not smaller."""
CACHE_BYTES = 2**30
"""Room for keys and values; models with large ones decode fewer prompts at a time."""
SEEDS = 2**32 - 1
"""Seeds of llama.cpp; the one beyond them draws one by itself."""
FIELDS = ["tokens", "stop_type", "completion_probabilities"]
FORCED = 1e9
"""What is added to the score of a token that is to be written whatever the others say."""


def has_llama_cpp() -> bool:
    """Whether the package is installed."""
    return find_spec("xllamacpp") is not None


class LlamaCppEngine(StudentEngine):
    """A Llama student in llama.cpp, with weights, keys and values in half precision.

    A sample depends on its prompt and seed, up to rounding: beside other prompts sums are taken in another order, so
    that a draw that falls on the border of two tokens may fall on either side.
    """

    name, device = "llama_cpp", "cpu"

    def __init__(self, student_dir: str | Path, *, batch_size: int = 32, threads: int | None = None) -> None:
        """Writes the student's GGUF file into the cache, unless it is there.

        `batch_size`: most prompts at a time; `threads`: of the server, by default one for each core.

        Raises StudentError without the package, for a folder that is no student, and for what is no Llama.
        """
        if not has_llama_cpp():
            raise StudentError(
                "engine llama_cpp needs the package xllamacpp, which is not installed.",
                hint="Install it (pip install 'pad-ray[llama_cpp]'), or use engine transformers.",
            )
        tokenizer, config = load_tokenizer(str(student_dir))
        super().__init__(student_dir, tokenizer, batch_size)
        self._file = gguf_of(self.student_dir)
        self._context = min(config.max_position_embeddings, CONTEXT)
        numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
        self._slots = max(1, min(batch_size, CACHE_BYTES // (2 * numbers * self._context)))
        self._threads = threads or len(os.sched_getaffinity(0))
        self._start()

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int,
        temperature: float,
        seed: int | Sequence[int],
        stop: str = "",
        written: Sequence[Sequence[int]] = (),
        wanted: Callable[[int], bool] | None = None,
    ) -> list[Completion]:
        """See `Engine.generate`. What is not `wanted` when its turn comes is not begun; what is begun is completed."""
        seeds = _seeds(seed, len(prompts))
        befores = [list(one) for one in written] if written else [[] for _ in prompts]
        if self._process.poll() is not None:
            self._start()

        def one(place: int, ids: list[int], before: list[int], own: int) -> Completion:
            limit = min(max_tokens, self._context - len(ids) - len(before))
            if limit <= 0 or (wanted and not wanted(place)):
                return self._completion(len(ids), before, [], [], stop=stop, stopped=False, at_stop=False)
            asked = {"n_predict": limit, "temperature": temperature, "seed": own, "stop": [stop] if stop else []}
            told = self._ask([*ids, *before], **asked)
            tokens, why = told["tokens"], told["stop_type"]
            logprobs = self._logprobs([*ids, *before], tokens, told.get("completion_probabilities", []))
            return self._completion(
                len(ids), before, tokens, logprobs, stop=stop, stopped=why != "limit", at_stop=why == "word"
            )

        with ThreadPoolExecutor(min(self.batch_size, self._slots)) as threads:
            return list(threads.map(one, count(), self._read(prompts), befores, seeds))

    def close(self) -> None:
        """End the server."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self.close()

    def _start(self) -> None:
        from httpx import Client, HTTPTransport

        # Whoever may not look into this folder cannot reach the server.
        self._folder = tempfile.TemporaryDirectory(prefix="pad_ray_")
        socket = f"{self._folder.name}/llama.sock"
        sizes = [str(self._slots), str(self._context), str(self._threads)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pad_ray.decode.llama_cpp_server", str(self._file), *sizes, socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
            # Ctrl-C is for whoever asked; the server ends with its input.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise PadRayError(
                f"llama.cpp ended while it loaded {self._file} (exit code {self._process.wait()}).",
                hint="Delete the file, so that it is written again, or use engine transformers.",
            )
        self._client = Client(transport=HTTPTransport(uds=socket), base_url="http://llama", timeout=None)

    def _ask(self, ids: list[int], **settings: Any) -> dict[str, Any]:
        """What the server answers to one request."""
        from httpx import TransportError

        # No sampler but the temperature, and a probability of each token before that.
        plain = {"samplers": ["temperature"], "n_probs": 1, "return_tokens": True, "response_fields": FIELDS}
        try:
            reply = self._client.post("/completion", json={"prompt": ids, **plain, **settings})
        except TransportError as error:
            raise PadRayError(f"llama.cpp has ended ({error}); the next call starts it again.") from error
        if reply.status_code != 200:
            raise PadRayError(f"llama.cpp refused a prompt of {len(ids)} tokens: {reply.text}")
        return reply.json()

    def _logprobs(self, read: list[int], tokens: list[int], told: list[dict[str, Any]]) -> list[float]:
        """One log-probability per token; those that were not told are in the order of the others."""
        found: list[float] = []
        rest = iter(told)
        this = next(rest, None)
        for place, token in enumerate(tokens):
            if this is not None and this["id"] == token:
                found.append(this["logprob"])
                this = next(rest, None)
            else:
                found.append(self._logprob([*read, *tokens[:place]], token))
        return found

    def _logprob(self, read: list[int], token: int) -> float:
        """The log-probability of one token; nothing of it is written anywhere."""
        told = self._ask(read, n_predict=1, logit_bias=[[token, FORCED]])
        if probabilities := told.get("completion_probabilities"):
            return probabilities[0]["logprob"]
        # Of a part of a character it tells nothing even so, but all there is beside a token that is whole.
        end = [[self._tokenizer.eos_token_id, FORCED]]
        told = self._ask(read, n_predict=1, n_probs=len(self._tokenizer), logit_bias=end)
        return next(one["logprob"] for one in told["completion_probabilities"][0]["top_logprobs"] if one["id"] == token)


def _seeds(seed: int | Sequence[int], count: int) -> list[int]:
    """A seed of llama.cpp for every prompt. Raises ValueError where seeds and prompts do not match."""
    if isinstance(seed, int):
        return [int(np.random.default_rng([seed, index]).integers(SEEDS)) for index in range(count)]
    if len(seed) != count:
        raise ValueError(f"seed: {len(seed)} seeds for {count} prompts; give one per prompt, or a single number.")
    return [int(np.random.default_rng(one).integers(SEEDS)) for one in seed]
