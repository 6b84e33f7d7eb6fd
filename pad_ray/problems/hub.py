"""hf://OWNER/NAME?config=main&split=train: a dataset of the Hugging Face hub, through the package `datasets`.

split              which split (required)
config             which configuration, for a dataset that has several
revision           a branch, tag or commit
question, answer   the names of these two columns, where they are called otherwise
Besides the two, a column `problem_id` or `id` is read, and nothing else. What was loaded once lies in the cache below
HF_HOME and is used when the hub cannot be reached, which one short request finds out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pad_ray.errors import ProblemError
from pad_ray.offline import hub_is_off

OPTIONS = ("split", "config", "revision", "question", "answer")
PROBE_S = 5.0
"""Seconds the hub has to answer one request; its own client would try again for minutes."""


def hub_rows(uri: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of one split with their places. Raises ProblemError, for an unreachable hub in about PROBE_S."""
    parts = urlsplit(uri)
    owner, name = parts.netloc, parts.path.strip("/")
    if not owner or not name or "/" in name:
        raise ProblemError(f"{uri}: a dataset is named by owner and name, like hf://openai/gsm8k?split=train.")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [option for option in options if option not in OPTIONS]
    if unknown:
        raise ProblemError(f"{uri}: there is no option {unknown[0]!r}.", hint=f"There are {', '.join(OPTIONS)}.")
    if not options.get("split"):
        raise ProblemError(f"{uri}: split is missing.", hint="Name one, like ?split=train.")
    dataset = _load(uri, f"{owner}/{name}", options)
    columns = {key: options.get(key) or key for key in ("question", "answer")}
    for key, column in columns.items():
        if column not in dataset.column_names:
            there = ", ".join(dataset.column_names)
            raise ProblemError(
                f"{uri}: {key} is to be read from the column {column!r}, but the columns are {there}.",
                hint=f"Name the right one, like &{key}={dataset.column_names[0]}.",
            )
    columns |= {key: key for key in ("problem_id", "id") if key in dataset.column_names}
    for number, row in enumerate(dataset.select_columns(sorted(set(columns.values()))), 1):
        yield f"{uri} row {number}", {"source": name} | {key: row[column] for key, column in columns.items()}


def _load(uri: str, name: str, options: dict[str, str]) -> Any:
    """The split as a `datasets.Dataset`, from the hub or, without one, from the cache."""
    import datasets.config
    from datasets.packaged_modules.cache.cache import Cache

    endpoint, missing = datasets.config.HF_ENDPOINT, _unreachable()
    config, revision = options.get("config") or None, options.get("revision") or None
    try:
        if missing:
            short = name.rpartition("/")[2]
            builder = Cache(repo_id=name, dataset_name=short, config_name=config, version="auto", hash="auto")
        else:
            builder = datasets.load_dataset_builder(f"hf://datasets/{name}", config, revision=revision)
        builder.download_and_prepare()
        dataset = builder.as_dataset(split=options["split"])
    except Exception as error:  # Beside its own the package lets through those of its HTTP client and of every format.
        why = " ".join(str(error).split()) or type(error).__name__
        if missing:
            raise ProblemError(
                f"{uri}: the hub {endpoint} cannot be reached ({missing}), and without it: {why.rstrip('.')}.",
                hint="Load it once with a network, which fills the cache below HF_HOME, or use a .jsonl file.",
            ) from error
        raise ProblemError(f"{uri}: {why.rstrip('.')}.", hint=_mend(error)) from error
    if isinstance(builder, Cache) and revision not in (None, builder.hash):
        raise ProblemError(
            f"{uri}: the hub {endpoint} cannot be reached ({missing or 'the connection broke'}), and the cached copy is"
            f" of revision {builder.hash}, not known to be {revision!r}.",
            hint="Name that revision, or none.",
        )
    return dataset


def _unreachable() -> str:
    """Why the hub cannot be reached; empty if it answers, whatever it answers about a dataset."""
    import datasets.config
    import httpx

    # `datasets` has a switch of its own, which may be on alone; its client obeys the hub's as well.
    if hub_is_off() or datasets.config.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set"
    try:
        status = httpx.head(datasets.config.HF_ENDPOINT, timeout=PROBE_S).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return str(error) or type(error).__name__
    return f"it answers with status {status}" if status >= 500 else ""


def _mend(error: Exception) -> str:
    from datasets.exceptions import DatasetNotFoundError

    if isinstance(error, DatasetNotFoundError):
        return (
            "Check name and revision; a gated or private dataset needs your access (ask on its page) and HF_TOKEN,"
            " or `hf auth login`."
        )
    if isinstance(error, ValueError):
        return "Check config and split."
    return "Try again, or save the rows as a .jsonl file and name that."
