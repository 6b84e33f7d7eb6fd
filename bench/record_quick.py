"""Makes the files that ship with the recipe `quick`: the faulty teacher's recording, and the tiny student.

    python bench/record_quick.py [FOLDER]        (default: pad_ray/recipes/quick)

Everything is drawn under one seed: two runs write the same bytes.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faulty_teacher import SEED, WRITERS, record, understood

from pad_ray.problems import take_in
from pad_ray.recipe_file import load_recipe
from pad_ray.thoughts.program import repair_prompt, student_prompt

VOCABULARY = 640
"""Upper limit; the merges run out before it is reached."""
SHAPE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 96,
    "intermediate_size": 288,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    # With so few steps, copying numbers is learned in time only from larger weights than the usual 0.02, and with
    # positions that turn faster than the usual 10,000.
    "initializer_range": 0.06,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
    "dtype": "float32",
}
END, PAD = "<|end|>", "<|pad|>"
PIECES = r"\n *| ?[A-Za-z_]+|[0-9]{1,2}|[^\S\n]*[^\sA-Za-z0-9_]+[^\S\n]*|\s+"
"""What a token never crosses: a line break with its indent, a word, two digits, a sign with the spaces around it."""


def train_tokenizer(uris: Sequence[str]) -> Any:
    """A byte-level BPE tokenizer: words of these tasks and numbers up to 99 are one token, any other text is bytes."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = pre_tokenizers.Split(Regex(PIECES), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(uris), trainer)
    return tokenizer


def _corpus(uris: Sequence[str]) -> Iterator[str]:
    """What the student will read and write, and every number of two digits."""
    dice = random.Random(f"{SEED}/corpus")
    for problem in take_in(uris, "train").problems:
        program = WRITERS[problem.source](*understood(problem.question), dice)
        yield student_prompt(problem.question) + program
        yield repair_prompt(problem.question, program, dice.choice(_ERRORS))
    for number in range(100):
        yield f"{number:02}\n" * 50


_ERRORS = [
    "AssertionError: the returned value is not the answer",
    "ValueError: solution() returned no answer",
    "TimeoutError: the program did not end in time",
    "NameError: name 'reuslt' is not defined",
    "SyntaxError: invalid syntax (line 1)",
    "SyntaxError: '(' was never closed (line 1)",
    "SyntaxError: expected ':' (line 1)",
    "TypeError: unsupported operand type(s)",
]


def main(folder: Path) -> None:
    """Write the recording and the student's folder."""
    uris = load_recipe("quick").problems.train
    assert isinstance(uris, list)
    student = folder / "student"
    student.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for reply in record(uris):
        row = {"problem_id": reply.problem_id, "text": reply.text, **({"entry": reply.entry} if reply.entry else {})}
        lines.append(json.dumps(row) + "\n")
    (folder / "teacher.jsonl.gz").write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    tokenizer = train_tokenizer(uris)
    tokenizer.save(str(student / "tokenizer.json"))
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    ids = {"bos_token_id": None, "eos_token_id": end, "pad_token_id": pad}
    files = {
        "config.json": {**SHAPE, "vocab_size": tokenizer.get_vocab_size(), **ids},
        "generation_config.json": {**ids, "do_sample": False},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END,
            "pad_token": PAD,
            "model_max_length": SHAPE["max_position_embeddings"],
            "clean_up_tokenization_spaces": False,
        },
    }
    for name, content in files.items():
        (student / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "pad_ray" / "recipes" / "quick")
