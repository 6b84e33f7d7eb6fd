"""Makes the recording that ships with the recipe `laptop` out of the replies of a teacher.

    python bench/record_laptop.py ROWS.jsonl [OUT.jsonl.gz]

Rows have problem_id, question, text, finish_reason and completion_tokens. Keeps the replies and what names their
problems; of each question only its hash, so that a generator which makes other questions of the same ids is noticed.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

from pad_ray.teacher.recorded import question_hash

OUT = Path("pad_ray/recipes/laptop/teacher.jsonl.gz")


def main(source: Path, target: Path = OUT) -> None:
    """Write the recording; the same rows always give the same bytes."""
    lines: list[str] = []
    for line in source.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kept = {key: row[key] for key in ("problem_id", "text", "finish_reason", "completion_tokens")}
        lines.append(json.dumps({**kept, "question_hash": question_hash(row["question"])}, ensure_ascii=False))
    target.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
