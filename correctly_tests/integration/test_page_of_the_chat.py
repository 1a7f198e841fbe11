"""The chat as a person uses it: the real Open WebUI on the gateway, driven in headless Chromium."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from correctly_tests.integration.conftest import Platform

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

AWKWARD = "She go to the office every days. The report of last week was fine."


@pytest.fixture(scope="module")
def chat(platform: Platform, page: Page) -> Page:
    deadline = time.monotonic() + 240
    while True:
        try:
            if httpx.get(f"{platform.url('WEBUI')}/health", timeout=3).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, platform.run("logs", "open-webui").stdout[-2000:]
        time.sleep(1)
    page.goto(platform.url("WEBUI"))
    return page


def test_the_first_page_shows_what_to_try_and_takes_no_attachments(chat: Page):
    expect(chat.get_by_text("A mail to a colleague")).to_be_visible()
    expect(chat.locator("#chat-input")).to_be_visible()
    expect(chat.get_by_role("dialog")).to_have_count(0)
    expect(chat.get_by_role("button", name="Okay, Let's Go!")).to_have_count(0)
    expect(chat.get_by_text("Upload Files")).to_have_count(0)


def test_a_paragraph_typed_into_the_chat_comes_back_with_reasons(chat: Page):
    expect(chat.get_by_role("button", name="Selected model: correctly")).to_be_visible()
    box = chat.locator("#chat-input")
    box.click()
    box.press_sequentially(AWKWARD)
    box.press("Enter")
    for head in ("Was", "Now", "Why"):
        expect(chat.get_by_role("columnheader", name=head)).to_be_visible()
    answer = chat.locator(".chat-assistant").last
    # Whatever else it says, the right sentence comes back as it was and the table names each change.
    expect(answer).to_contain_text("The report of last week was fine.")
    cells = answer.locator("tbody tr").first.locator("td").all_inner_texts()
    assert len(cells) == 3 and cells[2].strip()


def test_the_page_offers_awkward_sentences_to_try(chat: Page):
    chat.get_by_role("link", name="New Chat").first.click()
    expect(chat.get_by_text("A mail to a colleague")).to_be_visible()


def test_a_page_of_another_origin_cannot_read_the_chat_or_inject_code(platform: Platform, chat: Page, tmp_path: Path):
    base, evil = platform.url("WEBUI"), {"Origin": "http://evil.example"}
    asked = {**evil, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for path in ("/api/v1/auths/signin", "/api/v1/functions/create"):
        answer = httpx.options(base + path, headers=asked)
        assert answer.headers.get("access-control-allow-origin") is None, path
    signed = httpx.post(f"{base}/api/v1/auths/signin", json={"email": "", "password": ""})
    bearer = {"Authorization": f"Bearer {signed.json()['token']}"}
    ran = tmp_path / "ran"
    content = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n\n\nclass Filter:\n    pass\n"
    code = {"id": "probe", "name": "probe", "content": content, "meta": {"description": ""}}
    made = httpx.post(f"{base}/api/v1/functions/create", headers=bearer, json=code, timeout=60)
    assert made.is_client_error, made.text
    assert not ran.exists()
