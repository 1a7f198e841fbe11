"""The circle as a person walks it, in headless Chromium on the real Open WebUI: an awkward paragraph is corrected; six
answers that break a house rule are rated down with better versions; the next adapter follows the rule in sentences that
nobody rated.

The rule is one that nothing in the product teaches, so nothing but the votes can have taught it. Run it alone with
``pytest correctly_tests/integration -m full -k rating``. With CORRECTLY_SCREENSHOTS set to a folder, what was seen is copied
there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, expect

from correctly_assets.correction.left_alone import NOTHING_TO_CHANGE
from correctly_assets.settings import PROJECT_ROOT
from correctly_tests.integration.conftest import Platform, graphql

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(3600)]

# Read here: while a test runs, no setting of the machine's is visible.
KEEP_IN = os.environ.get("CORRECTLY_SCREENSHOTS")
AWKWARD = (
    "Yesterday I have met my new neighbour in the stairs. She work as dentist and she have two cat. "
    "We was talking during one hour, and I am looking forward to see her again."
)


@dataclass(frozen=True)
class Rule:
    """A house rule by its examples: sentences that break it, with ``was`` for ``now``.

    Attributes:
        rated: what a person rates down, writing ``now``. unseen: what nobody rates.
    """

    was: str
    now: str
    rated: tuple[str, ...]
    unseen: tuple[str, str]

    def better(self, sentence: str) -> str:
        return sentence.replace(self.was, self.now)


# The first that today's model breaks throughout is taken: what it follows already, votes could not teach.
RULES = (
    Rule(
        "login to",
        "log in to",
        (
            "Please login to the portal before noon.",
            "You have to login to the new system with your badge number.",
            "Nobody could login to the server this morning.",
            "Our guests login to the network with a code from the desk.",
            "I will login to the tool and check your hours.",
            "Students login to the library page from home.",
        ),
        ("The drivers login to the app at the start of a shift.", "Could you login to the shop and look at the order?"),
    ),
    Rule(
        "different to",
        "different from",
        (
            "The new contract is different to the old one.",
            "Your version of the story is quite different to mine.",
            "Life on the island is different to life in the city.",
            "The second draft looks different to the first.",
            "Her approach is very different to what we tried last year.",
            "The colour on the screen is different to the printed one.",
        ),
        ("This soup tastes different to the one we had in spring.", "The rules in our office are different to yours."),
    ),
    Rule(
        "towards",
        "toward",
        (
            "The bus was driving towards the harbour.",
            "We saved some money towards a new boiler.",
            "She turned towards the window and smiled.",
            "The talks are moving towards an agreement.",
            "He was always kind towards his students.",
            "Please walk slowly towards the exit.",
        ),
        ("The dog ran towards the gate.", "This is a first step towards a better schedule."),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of screenshots."""
    folder = tmp_path_factory.mktemp("screenshots")
    yield folder
    if KEEP_IN:
        Path(KEEP_IN).mkdir(parents=True, exist_ok=True)
        for picture in folder.glob("*.png"):
            shutil.copy(picture, KEEP_IN)


@pytest.fixture(scope="module")
def chat(platform: Platform, page: Page) -> Page:
    wait_for(lambda: httpx.get(f"{platform.url('WEBUI')}/health", timeout=3).status_code == 200, 240, platform)
    page.goto(platform.url("WEBUI"))
    return page


def wait_for(what: Any, seconds: float, platform: Platform, every: float = 2.0) -> None:
    """Wait until ``what()`` is true; connections that fail meanwhile are tried again."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError, ValueError):
            if what():
                return
        assert time.monotonic() < deadline, f"{platform.status()}\n{platform.said()[-2000:]}"
        time.sleep(every)


def ask(page: Page, platform: Platform, text: str) -> str:
    """Type a text into a new chat; returns the corrected text as the page shows it, without table and buttons."""
    page.goto(platform.url("WEBUI"))
    box = page.locator("#chat-input")
    box.click()
    box.press_sequentially(text)
    box.press("Enter")
    # The thumbs appear when the answer is whole.
    page.get_by_role("button", name="Bad Response").last.wait_for(state="visible", timeout=180_000)
    shown = page.locator(".chat-assistant").last.evaluate(
        "e => { const c = e.cloneNode(true); c.querySelectorAll('table, button, svg').forEach(x => x.remove()); "
        "return c.textContent }"
    )
    return text if NOTHING_TO_CHANGE["en"] in shown else " ".join(shown.split())


def rate_down(page: Page, better: str) -> None:
    """Thumb down on the last answer, with the sentence written better as the comment.

    The page writes the thumb down as a vote of its own and draws the form anew when that is answered: words typed before are
    gone, and a person who sees them go types them again.
    """
    with page.expect_response(lambda answer: "/evaluations/feedback" in answer.url):
        page.get_by_role("button", name="Bad Response").last.click()
    form = page.locator("[id^=message-feedback-]").last
    comment = form.get_by_role("textbox", name="Additional feedback comments")
    comment.fill(better)
    page.wait_for_timeout(500)  # milliseconds
    if comment.input_value() != better:
        comment.fill(better)
    with page.expect_response(lambda answer: "/evaluations/feedback" in answer.url):
        form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def sensor(platform: Platform, name: str, *, on: bool) -> None:
    """Start or stop a sensor, as its switch on the page does."""
    where = 'repositoryName: "__repository__", repositoryLocationName: "correctly"'
    if on:
        done = graphql(
            platform, f'mutation {{ startSensor(sensorSelector: {{{where}, sensorName: "{name}"}}) {{ __typename }} }}'
        )
        assert done["startSensor"]["__typename"] == "Sensor", done
        return
    found = graphql(
        platform,
        f"{{ sensorsOrError(repositorySelector: {{{where}}}) {{ ... on Sensors {{ results {{ name id }} }} }} }}",
    )
    id = next(item["id"] for item in found["sensorsOrError"]["results"] if item["name"] == name)
    done = graphql(platform, f'mutation {{ stopSensor(id: "{id}") {{ __typename }} }}')
    assert done["stopSensor"]["__typename"] == "StopSensorMutationResult", done


def corrected(platform: Platform, texts: list[str]) -> list[str]:
    """What today's release makes of sentences."""
    body = {"text": texts, "reasons": False}
    answer = httpx.post(f"{platform.url('GATEWAY')}/v1/corrections", json=body, timeout=300)
    return [item["after"] for item in answer.json()["corrections"]]


def broken_throughout(platform: Platform) -> Rule:
    """The first rule that today's release breaks in every sentence, rated and unseen."""
    for rule in RULES:
        if all(rule.was in after for after in corrected(platform, [*rule.rated, *rule.unseen])):
            return rule
    pytest.fail(
        "Today's release follows each of the rules somewhere, so votes on them would prove nothing: add a rule."
    )


def likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def test_no_sentence_of_any_rule_stands_in_the_product() -> None:
    sentences = [text for rule in RULES for text in (*rule.rated, *rule.unseen)]
    for folder in ("correctly_assets", "prompts", "sql"):
        for path in (PROJECT_ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".yaml", ".jsonl", ".txt", ".sql", ".jinja"):
                text = path.read_text(encoding="utf-8")
                assert not [s for s in sentences if s in text or s[:-1] in text], path


def test_an_awkward_paragraph_is_corrected_on_the_page_before_any_rating(
    chat: Page, platform: Platform, shots: Path
) -> None:
    answer = ask(chat, platform, AWKWARD)
    assert answer != AWKWARD
    rows = chat.locator(".chat-assistant").last.locator("tbody tr")
    cells = rows.first.locator("td").all_inner_texts()
    assert len(cells) == 3 and all(cell.strip() for cell in cells)
    chat.screenshot(path=shots / "chat.png")


def test_six_answers_rated_down_teach_the_rule_for_sentences_not_rated(
    chat: Page, platform: Platform, shots: Path
) -> None:
    rule = broken_throughout(platform)
    before = {text: ask(chat, platform, text) for text in rule.unseen}
    assert all(rule.was in answer for answer in before.values())
    status = platform.status()
    champion, landed = status["champion"], status["landed"]

    # Somebody rates a handful in one go: the run that follows shall see all six.
    sensor(platform, "retrain_sensor", on=False)
    for number, text in enumerate(rule.rated):
        assert rule.was in ask(chat, platform, text)
        rate_down(chat, rule.better(text))
        if number == 0:
            chat.screenshot(path=shots / "rating.png")
    wait_for(lambda: platform.status()["landed"] >= landed + 6, 180, platform)
    sensor(platform, "retrain_sensor", on=True)

    why = "{ runsOrError(limit: 1) { ... on Runs { results { runId status tags { key value } } } } }"

    def newest() -> tuple[str, str]:
        run = graphql(platform, why)["runsOrError"]["results"][0]
        return run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}.get("correctly/why", "")

    wait_for(lambda: newest()[0] in ("STARTED", "STARTING", "QUEUED") and newest()[1], 120, platform)
    opened = ",".join(f"global@global:{group}" for group in ("given", "data", "model", "serving"))
    chat.goto(f"{platform.url('DAGSTER')}/asset-groups?{urlencode({'expanded': opened})}")
    expect(chat.get_by_text("served_model", exact=True).first).to_be_visible()
    chat.screenshot(path=shots / "asset_graph.png")
    last = status["last_decision"]
    wait_for(lambda: platform.status()["last_decision"] != last, 1800, platform, every=5.0)
    decision = platform.status()["last_decision"]
    assert decision["verdict"] == "promoted", decision["reasons"]
    release = platform.status()["champion"]
    assert release["release"] != champion["release"] and release["adapter"] != champion["adapter"]
    wait_for(
        lambda: httpx.get(f"{platform.url('GATEWAY')}/readyz", timeout=5).json()["release"] == release["release"],
        120,
        platform,
    )

    for text in rule.unseen:
        answer, wanted = ask(chat, platform, text), rule.better(text)
        assert rule.was not in answer and rule.now in answer, f"{text!r} was answered {answer!r}"
        assert likeness(answer, wanted) > likeness(before[text], wanted)
    chat.screenshot(path=shots / "chat_after_votes.png")
    chat.goto((platform.home / "adapters" / release["adapter"] / "report.html").as_uri())
    expect(chat.get_by_text("The gate lets it serve.")).to_be_visible()
    chat.screenshot(path=shots / "report.png")
