"""Teacher vllm without a GPU: the rows that go in and come out, and the names that the installed Ray gives them.

What needs vLLM itself has not been run; docs/cluster.md says so.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pad_ray.errors import TeacherError
from pad_ray.flow.engines import coming_out, going_in
from pad_ray.flow.journal import decode, encode
from pad_ray.recipe_teacher import Teacher
from pad_ray.records import Message, Request
from pad_ray.teacher.vllm import ERROR, check_gpus, processor_config, to_row, to_sample

REQUEST = Request("p#0", "p", 0, (Message("system", "Write a program."), Message("user", "Q: 1 + 1?")), "m", 0.7, 32, 5)
REPLY = {"generated_text": "ans = 2", "num_input_tokens": 20, "num_generated_tokens": 6, "time_taken_llm": 0.25}


def teacher(**keys: Any) -> Teacher:
    return Teacher(kind="vllm", model="owner/name", samples=1, **keys)


def test_a_request_becomes_messages_and_sampling_parameters_and_keeps_itself() -> None:
    row = going_in({"shard": 3, "request": encode(REQUEST)})
    assert row["messages"] == [
        {"role": "system", "content": "Write a program."},
        {"role": "user", "content": "Q: 1 + 1?"},
    ]
    assert row["sampling_params"] == {"temperature": 0.7, "max_tokens": 32, "seed": 5}
    assert (row["shard"], decode(Request, row["request"])) == (3, REQUEST)
    # With a model in its row vLLM would look for an adapter of that name.
    assert "model" not in row


def test_a_reply_becomes_a_sample_with_its_tokens_and_one_of_full_length_counts_as_cut() -> None:
    sample = to_sample(REQUEST, coming_out({**REPLY, **to_row(REQUEST), "shard": 3, "request": encode(REQUEST)}))
    assert (sample.sample_id, sample.text, sample.finish_reason) == ("p#0", "ans = 2", "stop")
    assert (sample.prompt_tokens, sample.completion_tokens, sample.latency_s) == (20, 6, 0.25)
    assert (sample.error, sample.cost_usd, sample.model) == ("", 0.0, "m")
    assert to_sample(REQUEST, {**REPLY, "num_generated_tokens": 32}).finish_reason == "length"


def test_a_row_that_failed_is_asked_again_unless_the_engine_refused_this_very_request() -> None:
    long = to_sample(REQUEST, {ERROR: "ValueError: The decoder prompt is longer than the maximum model length."})
    lost = to_sample(REQUEST, {ERROR: "RuntimeError: the engine went away"})
    assert (long.transient, lost.transient) == (False, True)
    assert long.finish_reason == lost.finish_reason == "error"


def test_the_installed_ray_has_every_field_and_stage_that_is_used() -> None:
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig
    from ray.llm._internal.batch.stages.vllm_engine_stage import vLLMOutputData

    fields = processor_config(teacher(workers=2, engine={"max_model_len": 4096}))
    assert fields.keys() <= vLLMEngineProcessorConfig.model_fields.keys()
    config = vLLMEngineProcessorConfig(**fields)
    assert (config.model_source, config.concurrency, config.should_continue_on_error) == ("owner/name", 2, True)
    assert config.engine_kwargs["max_model_len"] == 4096
    assert config.engine_kwargs["enable_prefix_caching"]
    asked = inspect.signature(build_processor).parameters
    assert {"config", "preprocess", "postprocess"} <= asked.keys()
    told = vLLMOutputData.model_fields.keys() | {"time_taken_llm"}
    assert REPLY.keys() <= told


def test_the_environment_is_the_recipes_or_one_with_vllm_alone() -> None:
    assert processor_config(teacher())["runtime_env"]["pip"]["packages"][0].startswith("vllm==")
    own = {"image_uri": "registry/vllm:1"}
    assert processor_config(teacher(runtime_env=own))["runtime_env"] == own


@pytest.mark.parametrize(
    ("keys", "gpus", "said"),
    [
        ({"workers": 1}, 0, "no GPU"),
        ({"workers": 2, "engine": {"tensor_parallel_size": 2}}, 2, "needs 4 GPUs, and the cluster has 2 GPUs"),
    ],
)
def test_a_cluster_with_too_few_gpus_is_refused_in_a_sentence(keys: dict[str, Any], gpus: int, said: str) -> None:
    with pytest.raises(TeacherError, match=said) as caught:
        check_gpus(teacher(**keys), {"CPU": 8.0, "GPU": float(gpus)})
    assert "kind openai" in caught.value.hint
    check_gpus(teacher(**keys), {"GPU": 4.0})
