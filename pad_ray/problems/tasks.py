"""task://NAME?path=FILE: the public sets that reasoning is measured on, each in the forms in which it is handed around.

gsm8k              question, answer `worked solution #### 72`; in the Socratic form each line is `sub-question ** step`
asdiv              body, question, answer `9 (apples)`, formula; the same names in the XML of the authors
svamp              Body, Question, Answer, Equation
multiarith         sQuestion, lSolutions, lEquations
mawps              as multiarith, or Question with N_00 for the numbers, which stand in Numbers, and Answer
strategyqa         question, answer (true or false), facts; or of BIG-bench input and target_scores
bbh                input, target, and the subset in task, or as the name of the file
coin_flip, last_letters   question, answer; without a path they are made on the spot (see `templates`)

Rows that already have question and answer are taken as they are. FILE is whatever holds rows: .jsonl, .json, .xml,
.parquet, s3://…, or hf://OWNER/NAME?split=train, where a further & is written %26.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

from pad_ray.errors import ProblemError
from pad_ray.problems.templates import TEMPLATES

Row = dict[str, Any]
Rows = Iterator[tuple[str, Row]]

_SOCRATIC = " ** "
_UNIT = re.compile(r"\s*\([^()]*\)\s*$")
"""What ASDiv puts behind an answer: its unit."""
_SLOT = re.compile(r"\bN_(\d\d?)\b")


def task_rows(uri: str, rows: Callable[[str], Rows]) -> Rows:
    """The rows of a task with their places; `rows` reads the file behind its path. Raises ProblemError."""
    name, options = urlsplit(uri).netloc, _options(uri)
    if name not in TASKS:
        raise ProblemError(f"{uri}: there is no task {name!r}.", hint=f"There are {', '.join(sorted(TASKS))}.")
    path = options.pop("path", "")
    if not path and name in TEMPLATES:
        yield from TEMPLATES[name](uri, options)
        return
    if not path:
        raise ProblemError(
            f"{uri}: path is missing.", hint=f"Name the file, like task://{name}?path=data/{name}.jsonl."
        )
    if options:
        raise ProblemError(f"{uri}: there is no option {next(iter(options))!r}.", hint="With a path there is no other.")
    for place, row in rows(path):
        found = TASKS[name](row, place)
        yield place, {"id": _id(name, row), **found, "source": _source(name, row, path)}


def task_path(uri: str) -> str:
    """The file behind the path of a task; empty for any other URI and where there is none."""
    return _options(uri).get("path", "") if uri.startswith("task://") else ""


def _options(uri: str) -> dict[str, str]:
    # A plus in a path is a plus; only in forms of web pages it is a space.
    return dict(parse_qsl(urlsplit(uri).query.replace("+", quote("+")), keep_blank_values=True))


def _gsm8k(row: Row, place: str) -> Row:
    found = _plain(row, place)
    worked, mark, _ = str(found["answer"]).rpartition("####")
    if mark and _SOCRATIC in worked and not found.get("steps"):
        pairs = [line.partition(_SOCRATIC) for line in worked.strip().splitlines()]
        # A few lines of the Socratic form have no sub-question.
        steps = [(asked.strip(), said.strip()) if sign else ("", asked.strip()) for asked, sign, said in pairs]
        found["steps"] = [{"question": asked, "answer": said} for asked, said in steps]
    return found


def _asdiv(row: Row, place: str) -> Row:
    if "Body" in row:
        row = {key.lower(): value for key, value in row.items()}
    if "body" not in row:
        return _plain(row, place)
    answers = [_UNIT.sub("", part).strip() for part in str(_need(row, "answer", place)).split(";")]
    return {
        "question": _joined(row["body"], _need(row, "question", place)),
        "answer": answers[0] if len(answers) == 1 else f"[{', '.join(answers)}]",
        "rationale": _equation(row.get("formula")),
    }


def _svamp(row: Row, place: str) -> Row:
    if "Body" not in row:
        return _plain(row, place)
    return {
        "question": _joined(row["Body"], _need(row, "Question", place)),
        "answer": _need(row, "Answer", place),
        "rationale": _equation(row.get("Equation")),
    }


def _multiarith(row: Row, place: str) -> Row:
    if "sQuestion" not in row:
        return _plain(row, place)
    solutions = _need(row, "lSolutions", place)
    if not isinstance(solutions, list) or len(solutions) != 1:  # pyright: ignore[reportUnknownArgumentType]
        raise ProblemError(f"{place}: lSolutions must hold one solution, this one is {solutions!r}.")
    equations = row.get("lEquations") or [""]
    return {
        "question": str(row["sQuestion"]).strip(),
        "answer": solutions[0],
        "rationale": _equation(equations if isinstance(equations, str) else equations[0]),
    }


def _mawps(row: Row, place: str) -> Row:
    if "Numbers" not in row:
        return _multiarith(row, place)
    there = row["Numbers"]
    numbers = [str(one) for one in (there if isinstance(there, list) else str(there).split())]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    def filled(slot: re.Match[str]) -> str:
        if int(slot[1]) >= len(numbers):
            raise ProblemError(f"{place}: {slot[0]} has no number: Numbers holds {len(numbers)}.")
        return numbers[int(slot[1])].removesuffix(".0")

    question = _SLOT.sub(filled, str(_need(row, "Question", place)))
    return {"question": question, "answer": _need(row, "Answer", place)}


def _strategyqa(row: Row, place: str) -> Row:
    if "target_scores" in row:
        scores = row["target_scores"]
        if not isinstance(scores, dict):
            raise ProblemError(f"{place}: target_scores must say of each answer whether it is right, not {scores!r}.")
        right = [said for said, score in cast("Row", scores).items() if score]
        if len(right) != 1:
            raise ProblemError(f"{place}: target_scores must say of one answer that it is right, not of {right}.")
        return {"question": str(_need(row, "input", place)), "answer": right[0].lower()}
    found = _plain(row, place)
    if isinstance(found["answer"], bool):
        found["answer"] = "yes" if found["answer"] else "no"
    return {**found, "facts": row.get("facts") or []}


def _bbh(row: Row, place: str) -> Row:
    if "input" not in row:
        return _plain(row, place)
    return {"question": str(row["input"]), "answer": _need(row, "target", place)}


def _plain(row: Row, place: str) -> Row:
    _need(row, "question", place)
    _need(row, "answer", place)
    return dict(row)


TASKS: dict[str, Callable[[Row, str], Row]] = {
    "gsm8k": _gsm8k,
    "asdiv": _asdiv,
    "svamp": _svamp,
    "multiarith": _multiarith,
    "mawps": _mawps,
    "strategyqa": _strategyqa,
    "bbh": _bbh,
    "coin_flip": _plain,
    "last_letters": _plain,
}
"""By name, what makes one of our rows of one of theirs; each raises ProblemError for a row that lacks something."""


def _need(row: Row, key: str, place: str) -> Any:
    if row.get(key) is None:
        there = ", ".join(row) or "nothing"
        raise ProblemError(
            f"{place}: the key {key!r} is missing; the row holds {there}.", hint="Is this the task's own file?"
        )
    return row[key]


def _joined(body: Any, question: Any) -> str:
    """Story and question as one text; some stories lack their full stop."""
    story = str(body or "").strip()
    ended = not story or story.endswith((".", "!", "?", ",", '"'))
    return f"{story if ended else f'{story}.'} {str(question).strip()}".strip()


def _equation(value: Any) -> str:
    return f"Equation: {value}" if value else ""


def _id(name: str, row: Row) -> Any:
    own = next((row[key] for key in ("problem_id", "id", "ID", "qid") if row.get(key) not in (None, "")), None)
    # Every set with iIndex counts from one, and two of them may train one student.
    return f"{name}/{row['iIndex']}" if own is None and row.get("iIndex") not in (None, "") else own


def _source(name: str, row: Row, path: str) -> str:
    """What yields are counted by: the task, and of BBH the subset."""
    return f"bbh/{row.get('task') or Path(path).stem}" if name == "bbh" else name
