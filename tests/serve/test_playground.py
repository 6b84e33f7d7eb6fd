"""The playground in a real browser: Debian's Chromium, without a screen.

With PLAYGROUND_PICTURES=docs its pictures are those of the README.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from serve_backend import Echo, listening

from pad_ray.decode.answering import Ask
from pad_ray.outcomes import Outcome
from pad_ray.records import Answer
from pad_ray.thoughts import chain, equation, program
from serve.watching import Event

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect
expect.set_options(timeout=30_000)  # a busy machine is no failure
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
PROGRAM = "def solution():\n    rows = 3\n    eggs_in_a_row = 4\n    return rows * eggs_in_a_row\n"
STEPS = (("rows = 3", "3"), ("eggs_in_a_row = 4", "4"), ("return rows * eggs_in_a_row", "12"))


class Kitchen(Echo):
    """Answers as a student would; where a question holds markup, so does everything that it says."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Semaphore(0)  # a search goes on when its best path has been looked at

    async def watch(self, student: str, ask: Ask) -> AsyncGenerator[Event, None]:
        if ask.question == "for ever":
            async for event in super().watch(student, ask):
                yield event
        spice = ask.question if "<" in ask.question else ""
        self.asks.append(ask)
        for line in range(2, 4) if ask.decode.kind == "beam" else ():
            program = "\n".join(PROGRAM.split("\n")[:line])
            yield Event("path", {"program": program, "alive": 4, "finished": 0, "tokens": 16 * line})
            await asyncio.to_thread(self.seen.acquire, timeout=60)
        yield Event("accepted", {"samples": ask.decode.samples})
        for number in range(ask.decode.samples):
            yield Event(
                "program", {"number": number, "program": PROGRAM, "outcome": "ok", "value": "12", "prompt_tokens": 9}
            )
        for number, (code, value) in enumerate(STEPS):
            data = {"number": number, "code": code + spice, "state": "ran", "value": value + spice, "detail": ""}
            yield Event("step", data)
        votes = {f"12{spice}": ask.decode.samples - 1 or 1} | ({"7": 1} if ask.decode.samples > 1 else {})
        yield Event(
            "answer", asdict(Answer("answer-1", f"12{spice}", Outcome.OK, PROGRAM + spice, (), votes, 41, 0.62))
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        # As root, which is what a container usually is, Chromium runs only without its own sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture(scope="module")
def url(kitchen: Kitchen) -> Iterator[str]:
    with listening(kitchen) as url:
        yield url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """The page, of which nothing may complain and which may ask nobody else."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: request.url.startswith((url, "data:")) or complaints.append(request.url))
    page.goto(url)
    expect(page.locator("#health")).to_contain_text("strict")
    yield page
    context.close()
    assert complaints == []


def ask(page: Any, question: str, samples: str = "1") -> None:
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_label("Programs", exact=True).select_option(samples)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answer")).not_to_be_empty()


def test_a_question_is_answered_with_its_steps_votes_and_program(page: Any) -> None:
    ask(page, "How many eggs?", samples="8")
    assert page.locator("#answer").inner_text() == "12"
    steps = page.locator("#steps li")
    assert [steps.nth(number).locator("code").inner_text() for number in range(3)] == [code for code, _ in STEPS]
    assert [steps.nth(number).locator(".said").inner_text() for number in range(3)] == ["ran: 3", "ran: 4", "ran: 12"]
    assert page.locator("#votes li").all_inner_texts()[0].split("\n")[-1] == "7 of 8"
    page.get_by_text("Program", exact=True).click()
    assert page.locator("#program").inner_text() == PROGRAM
    assert page.locator("#asked").inner_text() == "How many eggs?"


def test_a_search_shows_its_best_path_line_by_line(page: Any, kitchen: Kitchen) -> None:
    page.get_by_label("Question", exact=True).fill("How many eggs?")
    page.get_by_label("Written", exact=True).select_option("beam")
    expect(page.get_by_label("Programs", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#state")).to_have_text("4 on their way, 0 finished…")
    for lines in (1, 2):
        expect(page.locator("#steps li")).to_have_count(lines)
        kitchen.seen.release()
    expect(page.locator("#answer")).to_have_text("12")
    assert page.locator("#steps code").all_inner_texts() == [code for code, _ in STEPS]
    page.reload()
    page.get_by_role("button", name="How many eggs? → 12").click()
    assert page.get_by_label("Written", exact=True).input_value() == "beam"


def test_it_speaks_of_what_the_chosen_student_writes(browser: Any) -> None:
    kitchen = Kitchen()
    kitchen.thoughts = (program, (program, equation, chain))
    with listening(kitchen) as url:
        page = browser.new_page()
        page.goto(url)
        expect(page.locator("header")).to_contain_text("answered with programs that are executed and shown")
        expect(page.get_by_label("Written", exact=True)).to_be_visible()
        page.get_by_label("Student", exact=True).select_option("org/large")
        expect(page.locator("header")).to_contain_text("answered with solutions that are executed, solved or read")
        expect(page.get_by_label("Written", exact=True)).to_be_hidden()
        page.get_by_label("Solutions", exact=True).select_option("4")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_text("Solution", exact=True)).to_be_visible()
        assert page.locator("#votes li").all_inner_texts()[0].split("\n")[-1] == "3 of 12"
        page.close()


def test_what_models_write_is_text_and_never_markup(page: Any) -> None:
    ask(page, MARKUP)
    assert page.title() == "pad_ray playground" and page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    for place in ("#asked", "#answer", "#steps", "#past", "#program"):
        assert MARKUP in (page.locator(place).text_content() or "")


def test_it_is_used_with_a_keyboard_alone(page: Any) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("for ever")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator("#state")).to_have_text("Stopped.")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("How many?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#answer")).to_have_text("12")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"question", "samples", "ask", "copy", "forget"} <= reached


def test_what_appears_is_announced(page: Any) -> None:
    for place, role in (("#state", "status"), ("#wrong", "alert")):
        assert page.locator(place).get_attribute("role") == role
    for place in ("#answer", "#steps"):
        assert page.locator(place).get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    ask(page, "How many eggs in " + "a" * 300 + "?", samples="8")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_light_or_dark_as_the_reader_wishes(page: Any, tmp_path: Path) -> None:
    grounds, pictures = [], Path(os.environ.get("PLAYGROUND_PICTURES", tmp_path))
    ask(page, "A box holds 3 rows of 4 eggs. How many eggs?", samples="8")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.screenshot(path=pictures / f"playground-{scheme}.png", full_page=True)
    light, dark = (sum(int(part) for part in ground[4:-1].split(",")) for ground in grounds)
    assert light > 600 and dark < 150


def test_past_questions_stay_in_this_browser_until_they_are_forgotten(page: Any) -> None:
    ask(page, "How many eggs?")
    page.reload()
    page.get_by_role("button", name="How many eggs? → 12").click()
    assert page.get_by_label("Question", exact=True).input_value() == "How many eggs?"
    page.get_by_role("button", name="Forget them").click()
    assert page.locator("#history").is_hidden() and page.evaluate("localStorage.length") == 0


def test_the_copied_command_asks_the_same(page: Any) -> None:
    question = 'It\'s "3" $HOME `rows` \\ of 4?'
    ask(page, question)
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    command = page.evaluate("navigator.clipboard.readText()")
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert json.loads(said)["answer"] == question


def test_a_service_with_a_token_asks_for_it(browser: Any) -> None:
    with listening(Kitchen(), token="a-token") as url:
        page = browser.new_page()
        page.goto(url)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_label("Token").fill("a-token")
        expect(page.locator("#wrong")).to_contain_text("bearer token")
        ask(page, "How many eggs?")
        assert page.locator("#answer").inner_text() == "12" and page.locator("#wrong").is_hidden()
        page.close()
