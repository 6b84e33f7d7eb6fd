"""A student made in seconds: one token per character, and a Llama of two layers that knows some pairs by heart."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def make_tiny_student(folder: Path, pairs: Sequence[tuple[str, str]] = (), *, context: int = 256) -> Path:
    """Write a Hugging Face folder whose model completes each prompt with its text and the end token.

    Without pairs the weights stay random, and are the same each time.
    """
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["<eos>", "<unk>", *sorted(string.printable)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", unk_token="<unk>")

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=0,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    if pairs:
        _memorise(model, [_lesson(tokenizer, prompt, text) for prompt, text in pairs])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _lesson(tokenizer: Any, prompt: str, text: str) -> tuple[list[int], list[int]]:
    """Token ids of prompt, text and end token; labels that leave out the prompt."""
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return before + after, [-100] * len(before) + after


def _memorise(model: Any, lessons: list[tuple[list[int], list[int]]]) -> None:
    import torch

    width = max(len(ids) for ids, _ in lessons)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in lessons])
    labels = torch.tensor([labels + [-100] * (width - len(labels)) for _, labels in lessons])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small only get slower with more
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * min(1.0, (step + 1) / 20)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            break
    torch.set_num_threads(threads)
    assert loss.item() < 0.05, f"the tiny student did not learn its pairs: loss {loss.item()}"
