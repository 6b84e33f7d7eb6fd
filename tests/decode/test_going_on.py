"""A model goes on behind tokens that it wrote before as if it had never stopped, and says how likely each one was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_student import make_tiny_encoder_decoder, make_tiny_student

from pad_ray.decode.loading import load_engine
from pad_ray.decode.transformers_engine import TransformersEngine

PROMPTS = ["a", "a longer prompt than the others\n", "bb", "ccc 12", "the seventh"]


@pytest.fixture(scope="module", params=["causal", "encoder-decoder"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    make = make_tiny_student if request.param == "causal" else make_tiny_encoder_decoder
    return load_engine(make(tmp_path_factory.mktemp(request.param)), batch_size=4)


def test_a_reply_in_two_parts_is_the_reply_in_one(engine: TransformersEngine) -> None:
    whole = engine.generate(PROMPTS, max_tokens=20, temperature=0, seed=0)
    # Parts of different lengths stand side by side.
    before = [one.tokens[: 2 + 3 * place] for place, one in enumerate(whole)]
    rest = [20 - len(tokens) for tokens in before]
    going_on = engine.generate(PROMPTS, max_tokens=max(rest), temperature=0, seed=0, written=before)
    for one, start, room, other in zip(whole, before, rest, going_on, strict=True):
        assert (*start, *other.tokens)[:20] == one.tokens
        assert other.completion_tokens == len(other.tokens) <= max(rest)
        assert other.text.startswith(engine._tokenizer.decode(start, skip_special_tokens=True))
        assert other.logprobs[: room - 1] == pytest.approx(one.logprobs[len(start) : 19], abs=1e-4)


def test_the_stop_text_is_looked_for_in_what_is_new(engine: TransformersEngine) -> None:
    settings: dict[str, Any] = {"max_tokens": 12, "temperature": 1.5, "seed": [5]}
    [whole] = engine.generate(["a"], **settings)
    sign = whole.text[-1]
    [first] = engine.generate(["a"], stop=sign, **settings)
    assert (first.text, first.at_stop, first.finish_reason) == (whole.text.split(sign)[0], True, "stop")
    [later] = engine.generate(["a"], stop="no such text", written=[first.tokens], **settings)
    assert later.text.startswith(first.text + sign) and not later.at_stop


def test_log_probabilities_are_those_of_the_model_whatever_the_temperature(engine: TransformersEngine) -> None:
    import torch

    for temperature in (0.0, 1.7):
        [one] = engine.generate(["bb"], max_tokens=6, temperature=temperature, seed=4)
        ids = torch.tensor([engine.ids("bb")])
        tokens = torch.tensor([one.tokens])
        with torch.inference_mode():
            if engine.model.config.is_encoder_decoder:
                start = torch.tensor([[engine.model.config.decoder_start_token_id]])
                decoded = torch.cat([start, tokens], dim=1)[:, :-1]
                scores = engine.model(input_ids=ids, decoder_input_ids=decoded).logits[0]
            else:
                scores = engine.model(input_ids=torch.cat([ids, tokens], dim=1)).logits[0, ids.shape[1] - 1 : -1]
        expected = scores.float().log_softmax(dim=1)[range(len(one.tokens)), one.tokens]
        assert one.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_prompt_that_comes_several_times_is_read_once_and_its_samples_are_those_it_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(make_tiny_student(tmp_path), batch_size=16)
    asked = [prompt for prompt in PROMPTS for _ in range(3)]
    settings: dict[str, Any] = {"max_tokens": 16, "temperature": 0.9}
    alone = [engine.generate([prompt], seed=[place], **settings)[0] for place, prompt in enumerate(asked)]
    read: list[int] = []
    forward = engine.model.forward

    def counting(**kwargs: Any) -> Any:
        read.append(kwargs["input_ids"].shape[0])
        return forward(**kwargs)

    monkeypatch.setattr(engine.model, "forward", counting)
    assert engine.generate(asked, seed=list(range(len(asked))), **settings) == alone
    assert read[:2] == [len(PROMPTS), len(asked)]
