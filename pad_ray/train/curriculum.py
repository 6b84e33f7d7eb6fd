"""SKIntern's curriculum (Liao et al., COLING 2025, 2409.13183): help before the question, less at each stage.

The help is what is known about a question (its facts) and solved training questions like it. It shrinks linearly; in
the last stage the student reads the bare question, as it will when it is asked. What is in a stage depends on the
examples alone, so every worker and every resume trains on the same.
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from pad_ray.recipe_train import Curriculum
from pad_ray.records import Example
from pad_ray.thoughts.files import prompt_text
from pad_ray.thoughts.rewriting import root_of
from pad_ray.train.encode import encode

ROWS = 1024
"""Examples compared with all others at once: what bounds the memory."""


def stages(
    examples: Sequence[Example],
    settings: Curriculum,
    tokenizer: Any,
    max_length: int,
    apart: bool = False,
    chat: bool = False,
) -> list[list[Example]]:
    """The training set once per stage, `settings.stages` times; the last is `examples` as they are.

    Only examples of the task `solve` get help. Of an example whose row, as `encode` makes it, would have more than
    `max_length` ids the least similar exemplars are left out, then the knowledge.
    """
    similar = neighbours(examples, settings.exemplars)
    facts = [_ids(tokenizer, [facts_of(example) if settings.knowledge else ""])[0] for example in examples]
    rare = self_information([*facts, *_ids(tokenizer, [example.prompt for example in examples])])
    cut: list[list[Example]] = []
    for stage in range(settings.stages):
        rest = left(stage, settings.stages)
        known = [knowledge(tokenizer.decode(most_telling(ids, rest, rare))) for ids in facts]
        shown = [near[: round(rest * settings.exemplars)] for near in similar]
        helped = list(examples)
        looked_at = [number for number in range(len(examples)) if known[number] or shown[number]]
        while looked_at:
            for number in looked_at:
                # The most similar one stands next to the question.
                solved = "".join(f"{examples[i].prompt}{examples[i].completion}\n" for i in reversed(shown[number]))
                helped[number] = replace(examples[number], prompt=known[number] + solved + examples[number].prompt)
            rows = encode([helped[number] for number in looked_at], tokenizer, sys.maxsize, apart, chat).rows
            long = [number for number, row in zip(looked_at, rows, strict=True) if len(row.ids) > max_length]
            # What is too long without any help stays so, and is dropped from every stage alike.
            looked_at = [number for number in long if known[number] or shown[number]]
            for number in looked_at:
                if shown[number]:
                    shown[number] = shown[number][:-1]
                else:
                    known[number] = ""
        cut.append(helped)
    return cut


def left(stage: int, stages_: int) -> float:
    """Share of the help that is left in a stage (the first is 0): from all to nothing in equal steps."""
    return 1 - stage / (stages_ - 1)


def knowledge(text: str) -> str:
    """Facts as they stand in front of a question; nothing for none."""
    return prompt_text("knowledge").replace("{facts}", text) if text.strip() else ""


def most_telling(ids: Sequence[int], share: float, rare: Mapping[int, float]) -> list[int]:
    """Of n token ids the ceil(share · n) with the highest self-information, in their order."""
    keep = math.ceil(share * len(ids))
    best = sorted(range(len(ids)), key=lambda place: -rare[ids[place]])[:keep]
    return [ids[place] for place in sorted(best)]


def self_information(texts: Sequence[Sequence[int]]) -> dict[int, float]:
    """-log of each token's share of all tokens of some texts, in nats: the smallest language model there is.

    One that every worker computes alike, without a second model in memory.
    """
    counts = Counter(token for text in texts for token in text)
    every = counts.total()
    return {token: math.log(every / count) for token, count in counts.items()}


def facts_of(example: Example) -> str:
    """What is known about the question of a `solve` example, a line each."""
    return "\n".join(example.facts) if example.task == "solve" else ""


def neighbours(examples: Sequence[Example], count: int) -> list[list[int]]:
    """Per `solve` example the `count` most similar ones of other problems, the most similar first; none for others.

    Similar is the cosine of the words' TF-IDF weights. Problems made of one another count as one problem.
    """
    found: list[list[int]] = [[] for _ in examples]
    solved = [number for number, example in enumerate(examples) if example.task == "solve"]
    if not count or not solved:
        return found
    vectors = _vectors([examples[number].prompt for number in solved])
    problems = [root_of(examples[number].problem_id) for number in solved]
    for start in range(0, len(solved), ROWS):
        cosines = (vectors[start : start + ROWS] @ vectors.T).toarray()
        for row, cosine in enumerate(cosines):
            mine, taken = start + row, {problems[start + row]}
            # A stable order, so that equals come in the order of the examples.
            for other in np.argsort(-cosine, kind="stable"):
                if len(found[solved[mine]]) == count:
                    break
                if problems[other] not in taken:
                    taken.add(problems[other])
                    found[solved[mine]].append(solved[other])
    return found


def _vectors(texts: Sequence[str]) -> sparse.csr_matrix:
    """Unit vectors [texts, words] of TF-IDF weights."""
    counts = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    seen = Counter(word for count in counts for word in count)
    places = {word: place for place, word in enumerate(seen)}
    rows, columns, values = [], [], []
    for row, count in enumerate(counts):
        weights = {word: times * math.log(len(texts) / seen[word]) for word, times in count.items()}
        norm = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        rows += [row] * len(weights)
        columns += [places[word] for word in weights]
        values += [weight / norm for weight in weights.values()]
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(texts), len(places)))


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return tokenizer(list(texts), add_special_tokens=False)["input_ids"]
