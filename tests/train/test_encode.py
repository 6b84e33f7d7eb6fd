"""Examples become token ids without losing or inventing anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from training_jobs import sums

from pad_ray.errors import StudentError
from pad_ray.train import encode as encode_module
from pad_ray.train.encode import encode


def test_a_row_is_prompt_then_completion_then_end_of_sequence(tokenizer: Any) -> None:
    for example, row in zip(sums(5), encode(sums(5), tokenizer, 512).rows, strict=True):
        assert tokenizer.decode(row.ids[: row.prompt]) == example.prompt
        assert tokenizer.decode(row.ids[row.prompt : -1]) == example.completion
        assert row.ids[-1] == tokenizer.eos_token_id
        assert row.completion == len(example.completion) + 1


def test_long_examples_are_dropped_whole_and_counted(tokenizer: Any) -> None:
    examples = sums(30)
    lengths = sorted(len(row.ids) for row in encode(examples, tokenizer, 512).rows)
    limit = lengths[len(lengths) // 2]
    encoding = encode(examples, tokenizer, limit)
    assert encoding.dropped == sum(length > limit for length in lengths) > 0
    assert [len(row.ids) for row in encoding.rows if row.ids[-1] == tokenizer.eos_token_id] == [
        len(row.ids) for row in encode(examples, tokenizer, 512).rows if len(row.ids) <= limit
    ]


def test_examples_that_are_tokenized_in_parts_are_the_same_and_take_four_bytes_a_token(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = encode(sums(30), tokenizer, 512)
    monkeypatch.setattr(encode_module, "AT_ONCE", 7)
    assert encode(sums(30), tokenizer, 512) == together
    few, many = min(together.rows, key=lambda row: len(row.ids)), max(together.rows, key=lambda row: len(row.ids))
    assert sys.getsizeof(many.ids) - sys.getsizeof(few.ids) == 4 * (len(many.ids) - len(few.ids)) > 0


def test_a_beginning_token_is_put_in_front_only_if_the_tokenizer_does_so(shape: Path) -> None:
    from tokenizers import processors
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shape)
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    without = encode(sums(1), tokenizer, 512).rows[0]
    assert tokenizer.bos_token_id not in without.ids

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    row = encode(sums(1), tokenizer, 512).rows[0]
    assert tuple(row.ids) == (tokenizer.bos_token_id, *without.ids)
    assert row.prompt == without.prompt + 1


def test_a_tokenizer_without_an_end_is_refused_with_the_mend(shape: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shape)
    tokenizer.eos_token = None
    with pytest.raises(StudentError, match=r"end-of-sequence.*tokenizer_config\.json"):
        encode(sums(1), tokenizer, 512)
