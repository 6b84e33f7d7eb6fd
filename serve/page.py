"""The playground: one page that needs nothing but this service, and a policy that lets it load nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi.responses import HTMLResponse

PAGE, SCRIPT = (Path(__file__).with_name(f"playground.{kind}") for kind in ("html", "js"))


def playground() -> HTMLResponse:
    """The page with its headers."""
    html, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)


@cache
def _page() -> tuple[str, str]:
    """The page and its policy: its own script and style are allowed by their hashes, and no others."""
    script = SCRIPT.read_text(encoding="utf-8")
    html = PAGE.read_text(encoding="utf-8").replace("<script></script>", f"<script>\n{script}</script>")
    policy = (
        f"default-src 'none'; script-src {_hash(html, 'script')}; style-src {_hash(html, 'style')};"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _hash(html: str, tag: str) -> str:
    """The source expression of the one element of this name."""
    [text] = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
