"""Generation with vLLM on a GPU: an actor of Ray in an environment of its own, behind the same interface.

vLLM wants other releases of torch and transformers than we do and is never in our environment. Only token ids go there,
and plain rows come back; the tokenizer stays here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pad_ray.decode.engine import Completion
from pad_ray.decode.loading import load_tokenizer
from pad_ray.decode.rows import draws
from pad_ray.decode.student_engine import StudentEngine, stop_ids
from pad_ray.decode.vllm_actor import VllmActor, sampling
from pad_ray.errors import StudentError
from pad_ray.teacher.vllm import RELEASE

SEEDS = 2**63 - 1


class VllmEngine(StudentEngine):
    """A causal language model in vLLM, in the precision that vLLM chooses for its weights.

    A sample has its own seed; sums are taken in another order beside other prompts, so that a draw that falls on the
    border of two tokens may fall on either side.
    """

    name, device = "vllm", "cuda"

    def __init__(self, student_dir: str | Path, *, batch_size: int = 256) -> None:
        """Starts the actor on a GPU of the cluster that is connected; its nodes must be able to read the folder.

        Its environment is installed first, which takes minutes where it has not been before. Raises StudentError for a
        folder that is no student or one with an encoder, without a cluster, and without a GPU.
        """
        tokenizer, config = load_tokenizer(str(student_dir))
        super().__init__(student_dir, tokenizer, batch_size)
        if config.is_encoder_decoder:
            raise StudentError(
                f"student: {self.student_dir!r} has an encoder, which vLLM does not decode.",
                hint="Take engine transformers.",
            )
        self._context: int = config.max_position_embeddings
        self._stops = _stops(self.student_dir, tokenizer, config)
        self._actor = _start(self.student_dir, batch_size)

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
        """See `Engine.generate`; whatever was begun is completed. Raises RayError where the actor has ended."""
        import ray

        seeds = [int(draw() * SEEDS) for draw in draws(seed, len(prompts))]
        read = self._read(prompts)
        before = [list(one) for one in written] if written else [[] for _ in prompts]
        limits = [min(max_tokens, self._context - len(a) - len(b)) for a, b in zip(read, before, strict=True)]
        fits = [place for place, limit in enumerate(limits) if limit > 0]
        rows: dict[int, dict[str, Any]] = {}
        if fits:
            settings = [sampling(limits[place], temperature, seeds[place], stop, self._stops) for place in fits]
            asked = [read[place] + before[place] for place in fits]
            rows = dict(zip(fits, ray.get(self._actor.generate.remote(asked, settings)), strict=True))
        empty: dict[str, Any] = {"tokens": [], "logprobs": [], "stopped": False, "at_stop": False}
        return [
            self._completion(len(read[place]), before[place], **rows.get(place, empty), stop=stop)
            for place in range(len(prompts))
        ]

    def close(self) -> None:
        """End the actor and give its GPU back."""
        import ray

        ray.kill(self._actor)


def _stops(student_dir: str, tokenizer: Any, config: Any) -> list[int]:
    from transformers import GenerationConfig

    try:
        settings = GenerationConfig.from_pretrained(student_dir, local_files_only=True)
    except OSError:  # a folder may do without
        settings = GenerationConfig.from_model_config(config)
    return sorted(stop_ids(tokenizer, settings))


def environment() -> dict[str, Any]:
    """The runtime environment of the actor."""
    return {"pip": {"packages": [f"vllm=={RELEASE}"], "pip_check": False}}


def _start(student_dir: str, batch_size: int) -> Any:
    """The actor, ready. Raises StudentError where there is no cluster, or no GPU in it."""
    import ray

    if not ray.is_initialized():
        raise StudentError(
            "engine vllm runs in an actor of Ray, and no cluster is connected here.",
            hint="Use it in `pad-ray serve` or `pad-ray evaluate`, or call ray.init() first.",
        )
    if ray.cluster_resources().get("GPU", 0) < 1:
        raise StudentError(
            "engine vllm needs a GPU, and the cluster has none now.",
            hint="Start a node with a GPU, or use engine transformers or llama_cpp.",
        )
    kind = ray.remote(num_gpus=1, runtime_env=environment())(VllmActor)
    actor: Any = kind.remote(str(Path(student_dir).absolute()), batch_size)
    ray.get(actor.__ray_ready__.remote())
    return actor
