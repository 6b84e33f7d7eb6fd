"""Tokenizers of the T5 family, mended for programs: as they come they lose line breaks, indentation and some brackets.

They were made for prose, where white space is one gap and no brace is needed. The models have rows to spare (T5 and
FlanT5: 28 more than their tokenizer has tokens), so what is missing gets tokens of its own, which training learns, and
gaps stay as wide as they are. Prose is tokenized as before.
"""

from __future__ import annotations

import json
import string
from typing import Any

SAMPLE = "if a:\n    b\n"
"""What a tokenizer must give back as it was."""


def keep_lines(tokenizer: Any) -> Any:
    """The tokenizer as it is if it keeps the lines of a text, else one that does; of other families always as it is."""
    if _read_back(tokenizer, SAMPLE) == SAMPLE or not _marks_gaps(tokenizer):
        return tokenizer
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    core: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    core.decoder = decoders.Metaspace(prepend_scheme="first")
    wanted = [*string.punctuation, "\t", "\n"]
    # Not normalized: that would make gaps of them before they are looked up.
    core.add_tokens([AddedToken(one, normalized=False) for one in wanted if _read_back(tokenizer, one) != one])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, name_or_path=tokenizer.name_or_path, **tokenizer.special_tokens_map
    )


def _read_back(tokenizer: Any, text: str) -> str:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def _marks_gaps(tokenizer: Any) -> bool:
    """Whether its tokens mark the gap before a word, as SentencePiece's do."""
    return '"Metaspace"' in json.dumps(json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"])
