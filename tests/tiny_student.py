"""Students made in seconds: one token per character, and two layers that know some pairs by heart.

One is a Llama, which goes on with a text; one is shaped like CodeT5, whose encoder reads and whose decoder writes.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def make_tiny_student(
    folder: Path, pairs: Sequence[tuple[str, str]] = (), *, context: int = 256, core: Any = None, **shape: Any
) -> Path:
    """Write a Hugging Face folder whose model completes each prompt with its text and the end token.

    Without pairs the weights stay random, and are the same each time. `core` is of another tokenizer, whose first
    tokens are `<eos>` and `<unk>`; `shape` what else the configuration says.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = core or _characters("<eos>", "<unk>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", unk_token="<unk>")

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=core.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=0,
        **({"tie_word_embeddings": True} | shape),
    )
    model = LlamaForCausalLM(config)
    if pairs:
        _memorise(model, [_lesson(tokenizer, prompt, text) for prompt, text in pairs], lr=5e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tiny_encoder_decoder(
    folder: Path, pairs: Sequence[tuple[str, str]] = (), *, dropout: float = 0.0, tied: bool = True
) -> Path:
    """The same with a T5 and the special tokens of CodeT5; untied, its head is its own and unscaled, as in FlanT5."""
    import torch
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    core = _characters(*special.values())
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **special)

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=core.get_vocab_size(),
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_decoder_layers=1,
        num_heads=4,
        feed_forward_proj="relu" if tied else "gated-gelu",
        tie_word_embeddings=tied,
        dropout_rate=dropout,
        initializer_factor=0.2 if pairs else 1.5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=0,
    )
    model: Any = T5ForConditionalGeneration(config)
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn(model.lm_head.weight.shape) / 8)
    if pairs:
        lessons = [(tokenizer(prompt).input_ids, tokenizer(text).input_ids) for prompt, text in pairs]
        _memorise(model, lessons, lr=1.5e-2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bytes_core(cut: dict[str, Any], texts: Sequence[str]) -> Any:
    """The core of a tokenizer over bytes, as SmolLM2 and Llama 3 have one; `cut` is how it cuts texts into pieces."""
    import json

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.decoder = decoders.ByteLevel()
    core = Tokenizer.from_str(json.dumps(json.loads(core.to_str()) | {"pre_tokenizer": cut}))
    special = [AddedToken(token, special=True) for token in ("<eos>", "<unk>")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    return core


def _characters(*special: str) -> Any:
    """The core of a tokenizer whose tokens are these and every printable character."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {token: number for number, token in enumerate([*special, *sorted(string.printable)])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    return core


def _lesson(tokenizer: Any, prompt: str, text: str) -> tuple[list[int], list[int]]:
    """Token ids of prompt, text and end token; labels that leave out the prompt."""
    before = tokenizer(prompt, add_special_tokens=False).input_ids
    after = [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return before + after, [-100] * len(before) + after


def _memorise(model: Any, lessons: list[tuple[list[int], list[int]]], lr: float) -> None:
    import torch

    def padded(lines: list[list[int]], pad: int) -> torch.Tensor:
        width = max(map(len, lines))
        return torch.tensor([line + [pad] * (width - len(line)) for line in lines])

    ids, labels = padded([ids for ids, _ in lessons], 0), padded([labels for _, labels in lessons], -100)
    mask = padded([[1] * len(ids) for ids, _ in lessons], 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small only get slower with more
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            break
    torch.set_num_threads(threads)
    assert loss.item() < 0.05, f"the tiny student did not learn its pairs: loss {loss.item()}"
