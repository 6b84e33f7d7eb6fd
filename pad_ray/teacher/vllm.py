"""Teacher `vllm`: a chat model in vLLM, which ray.data.llm drives on the cluster's GPUs.

vLLM wants other releases of torch, transformers and fastapi than we do and is never in our environment: Ray makes one
of its own for the actors that hold it. What goes in and what comes out are plain rows; here they are written and read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pad_ray.errors import TeacherError
from pad_ray.recipe_teacher import Teacher
from pad_ray.records import Request, Sample

RELEASE = "0.33.0"
"""The vLLM that is installed where the recipe names no environment."""
BATCH = 64
"""Rows that an engine is handed at once; it has several such batches at work."""
ERROR = "__inference_error__"
"""Where ray.data.llm says why a row failed; absent or empty for the others."""


def processor_config(teacher: Teacher) -> dict[str, Any]:
    """The fields of ray.data.llm's vLLMEngineProcessorConfig."""
    return {
        "model_source": teacher.model,
        "batch_size": BATCH,
        "concurrency": teacher.workers,
        # All prompts begin alike.
        "engine_kwargs": {"enable_prefix_caching": True, **teacher.engine},
        "runtime_env": teacher.runtime_env or {"pip": {"packages": [f"vllm=={RELEASE}"], "pip_check": False}},
        # One bad row must not take its neighbours along.
        "should_continue_on_error": True,
        "chat_template_stage": True,
        # vLLM does both itself.
        "tokenize_stage": False,
        "detokenize_stage": False,
        "log_engine_metrics": False,
    }


def to_row(request: Request) -> dict[str, Any]:
    """What the stages of ray.data.llm read of a request."""
    return {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "sampling_params": {
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "seed": request.seed,
        },
    }


def to_sample(request: Request, row: Mapping[str, Any]) -> Sample:
    """The sample in a row that came back.

    A row does not say why its text ended: one of the full length counts as cut. A ValueError of the engine is about
    this very request (too long, say) and would come again; other errors may pass.
    """
    if error := row.get(ERROR):
        transient = not str(error).startswith("ValueError")
        return Sample(
            request.sample_id, "", finish_reason="error", error=str(error), transient=transient, model=request.model
        )
    tokens = int(row["num_generated_tokens"])
    return Sample(
        request.sample_id,
        str(row["generated_text"]),
        finish_reason="length" if tokens >= request.max_tokens else "stop",
        prompt_tokens=int(row["num_input_tokens"]),
        completion_tokens=tokens,
        latency_s=round(float(row["time_taken_llm"]), 6),
        model=request.model,
    )


def check_gpus(teacher: Teacher, resources: Mapping[str, float]) -> None:
    """Raises TeacherError if a cluster with these resources cannot hold as many engines as the recipe wants."""
    each = teacher.engine.get("tensor_parallel_size", 1) * teacher.engine.get("pipeline_parallel_size", 1)
    wanted, there = teacher.workers * each, int(resources.get("GPU", 0))
    if wanted <= there:
        return
    has = "no GPU" if not there else f"{there} GPU{'s' if there > 1 else ''}"
    raise TeacherError(
        f"teacher.kind: vllm with teacher.workers {teacher.workers} needs {wanted} GPU{'s' if wanted > 1 else ''}, and"
        f" the cluster has {has} now.",
        hint="Lower teacher.workers, start nodes with GPUs first, use kind hf, or kind openai with the URL of a vLLM"
        " server elsewhere.",
    )
