"""The playground's page may load and run nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re

from serve_backend import call

from serve.schema import MAX_QUESTION_CHARS, MAX_SAMPLES

HTML = call("GET", "/").text


def policy() -> dict[str, str]:
    parts = call("GET", "/").headers["Content-Security-Policy"].split("; ")
    return dict(part.split(" ", 1) for part in parts)


def test_only_the_pages_own_script_and_style_are_allowed() -> None:
    found = policy()
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", HTML, re.DOTALL)
        assert found[directive] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert (found["default-src"], found["connect-src"]) == ("'none'", "'self'")
    assert found["base-uri"] == found["form-action"] == found["frame-ancestors"] == "'none'"
    assert "unsafe" not in str(found) and "http" not in str(found)


def test_it_names_no_other_place() -> None:
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", HTML) == []
    assert re.findall(r"<(?:link|script|img|iframe)[^>]* (?:src|href)=(?!\"data:)", HTML) == []


def test_nothing_in_it_could_turn_text_into_markup() -> None:
    dangerous = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\bon\w+=|javascript:"
    assert re.findall(dangerous, HTML) == []


def test_every_control_has_a_name() -> None:
    for tag, name in re.findall(r"<(textarea|select|input)[^>]*\bid=\"(\w+)\"", HTML):
        assert f'<label for="{name}"' in HTML, f"{tag} {name}"


def test_its_limits_are_those_of_the_service() -> None:
    assert f'maxlength="{MAX_QUESTION_CHARS}"' in HTML
    samples = [int(number) for number in re.findall(r"<option>(\d+)", HTML)]
    assert samples[0] == 1 and max(samples) <= MAX_SAMPLES
