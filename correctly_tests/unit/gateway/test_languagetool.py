"""LanguageTool's HTTP API, asked as its plug-ins ask it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.options import Options
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

BEFORE, AFTER = "She go to school every day.", "She goes to school every day."
FIXES = {
    BEFORE: AFTER,
    "I am agree with you.": "I agree with you.",
    "He went school.": "He went to the school.",
    "I like tea but he likes milk.": "I like tea, but he likes milk.",
    "😀 She go to school every day.": "😀 She goes to school every day.",
    "It are fine.": "It is fine.",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("lt"), engine) as running:
        engine.default = FIXES
        running.serves(running.release("a"))
        yield running


def ask(running: Running, **form: str) -> httpx.Response:
    data = {"language": "en-US"} | form
    return httpx.post(f"{running.url}/v2/check", data=data, trust_env=False, timeout=60)


def check(running: Running, **form: str) -> dict[str, Any]:
    answer = ask(running, **form)
    assert answer.status_code == 200, answer.text
    return answer.json()


def replaced(sent: str, found: list[dict[str, Any]]) -> str:
    """What an editor makes of the matches: offsets count UTF-16 code units."""
    coded = sent.encode("utf-16-le")
    for match in reversed(found):
        start, end = 2 * match["offset"], 2 * (match["offset"] + match["length"])
        coded = coded[:start] + match["replacements"][0]["value"].encode("utf-16-le") + coded[end:]
    return coded.decode("utf-16-le")


def test_a_match_has_the_published_shape(gateway: Running) -> None:
    answer = check(gateway, text=f"It is fine. {BEFORE}")
    assert {"software", "warnings", "language", "matches"} <= set(answer)
    assert answer["software"]["apiVersion"] == 1 and answer["language"]["code"] == "en-US"
    [match] = answer["matches"]
    assert (match["offset"], match["length"]) == (16, 2)
    assert match["replacements"] == [{"value": "goes"}]
    assert match["message"] and match["shortMessage"] == "Subject-verb agreement"
    assert match["sentence"] == BEFORE
    context = match["context"]
    assert context["text"][context["offset"] : context["offset"] + context["length"]] == "go"
    rule = match["rule"]
    assert set(rule) == {"id", "description", "issueType", "category"}
    assert (rule["issueType"], rule["category"]) == ("grammar", {"id": "GRAMMAR", "name": "Grammar"})


@pytest.mark.parametrize("text", FIXES)
def test_every_match_marks_a_word_and_all_of_them_yield_the_correction(gateway: Running, text: str) -> None:
    found = check(gateway, text=text)["matches"]
    assert replaced(text, found) == FIXES[text]
    ends = [match["offset"] + match["length"] for match in found]
    assert all(match["length"] > 0 and match["replacements"][0]["value"] for match in found)
    assert all(match["offset"] >= end for match, end in zip(found[1:], ends, strict=False))


def test_offsets_count_utf_16_units(gateway: Running) -> None:
    [match] = check(gateway, text="😀 She go to school every day.")["matches"]
    assert match["offset"] == 7  # the face counts twice
    assert match["context"]["offset"] == 7


def test_markup_in_annotated_text_is_counted_and_left_alone(gateway: Running) -> None:
    parts = [{"markup": "<p>😀"}, {"text": "She go to "}, {"markup": "<b>"}, {"text": "school every day."}]
    sent = "".join(part.get("markup") or part["text"] for part in parts)
    found = check(gateway, data=json.dumps({"annotation": parts}))["matches"]
    assert replaced(sent, found) == "<p>😀She goes to <b>school every day."


def test_a_change_that_would_take_markup_away_is_left_out_and_said(gateway: Running) -> None:
    parts = [{"text": "She g"}, {"markup": "<i>"}, {"text": "o to school every day."}]
    answer = check(gateway, data=json.dumps({"annotation": parts}))
    assert answer["matches"] == [] and answer["warnings"]["incompleteResults"] is True
    broken = [
        {"text": "She go to school every day."},
        {"markup": "<br>", "interpretAs": "\n\n"},
        {"text": "It are fine."},
    ]
    assert len(check(gateway, data=json.dumps({"annotation": broken}))["matches"]) == 2


def test_rules_and_categories_can_be_switched(gateway: Running) -> None:
    [match] = check(gateway, text=BEFORE)["matches"]
    for form in (
        {"disabledRules": match["rule"]["id"]},
        {"disabledCategories": "GRAMMAR,STYLE"},
        {"enabledOnly": "true", "enabledRules": "OTHER_RULE"},
        {"enabledOnly": "YES", "enabledRules": "OTHER_RULE"},
        {"enabledCategories": "GRAMMAR", "disabledRules": match["rule"]["id"]},
    ):
        assert check(gateway, text=BEFORE, **form)["matches"] == [], form
    for form in (
        {"enabledOnly": "true", "enabledCategories": "GRAMMAR"},
        {"enabledRules": match["rule"]["id"], "disabledCategories": "GRAMMAR"},
        {"enabledCategories": "GRAMMAR", "disabledCategories": "GRAMMAR"},
        {"enabledOnly": "no", "enabledRules": "OTHER_RULE"},
    ):
        assert check(gateway, text=BEFORE, **form)["matches"] == [match], form


@pytest.mark.parametrize(
    "form",
    [
        {"enabledOnly": "true"},
        {"enabledOnly": "true", "enabledRules": "A", "disabledRules": "B"},
        {"enabledOnly": "maybe"},
        {"level": "strict"},
        {"mode": "everything"},
        {"language": "de-DE"},
    ],
)
def test_a_parameter_that_cannot_be_kept_to_is_refused_by_name(gateway: Running, form: dict[str, str]) -> None:
    error = ask(gateway, text=BEFORE, **form).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", next(iter(form)))


def test_a_level_is_known_in_any_case_and_text_level_rules_are_none(gateway: Running) -> None:
    assert check(gateway, text=BEFORE, level="PICKY", mode="allButTextLevelOnly")["matches"]
    asked = len(gateway.engine.asked)
    assert check(gateway, text=BEFORE, mode="textLevelOnly")["matches"] == []
    assert len(gateway.engine.asked) == asked


def test_auto_is_the_preferred_english_and_another_language_is_named(gateway: Running) -> None:
    def told(**form: str) -> tuple[str, str, float]:
        language = check(gateway, language="auto", **form)["language"]
        detected = language["detectedLanguage"]
        return language["code"], detected["code"], detected["confidence"]

    assert told(text=BEFORE)[:2] == ("en-US", "en-US")
    assert told(text=BEFORE, preferredVariants="de-DE,en-GB")[:2] == ("en-GB", "en-GB")
    code, detected, confidence = told(text="Das ist ein sehr schöner Tag und ich gehe nach Hause.")
    assert (code, detected) == ("en-US", "de") and 0.6 < confidence <= 1
    assert told(text="")[:2] == ("en-US", "en-US")


def test_annotated_text_may_be_one_text_alone(gateway: Running) -> None:
    assert check(gateway, data=json.dumps({"text": BEFORE}))["matches"] == check(gateway, text=BEFORE)["matches"]


def test_a_request_that_is_no_form_or_no_utf_8_is_told_so(gateway: Running) -> None:
    def message(content: bytes, kind: str) -> str:
        url, headers = f"{gateway.url}/v2/check", {"Content-Type": kind}
        answer = httpx.post(url, content=content, headers=headers, trust_env=False, timeout=60)
        return answer.json()["error"]["message"] if answer.status_code == 400 else str(answer.status_code)

    form = "application/x-www-form-urlencoded"
    assert "x-www-form-urlencoded" in message(b'{"text": "a", "language": "en"}', "application/json")
    assert "UTF-8" in message(b"language=en&text=caf%E9", form)
    assert message(b"language=en&text=caf%C3%A9", form) == message(b"language=en&text=caf%EF%BF%BD", form) == "200"


def test_reasons_follow_the_mother_tongue(gateway: Running) -> None:
    [match] = check(gateway, text=BEFORE, motherTongue="ko-KR")["matches"]
    assert any("가" <= character <= "힣" for character in match["message"])


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"text": "a", "data": "{}"},
        {"text": "a", "language": "de-DE"},
        {"text": "a", "language": ""},
        {"text": "a\0b"},
        {"data": "{"},
        {"data": "[]"},
        {"data": '{"annotation": [{"text": "a", "markup": "b"}]}'},
        {"data": '{"annotation": [{"text": "\\ud800"}]}'},
    ],
)
def test_what_cannot_be_checked_is_one_sentence(gateway: Running, form: dict[str, str]) -> None:
    answer = ask(gateway, **form)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(".")


def test_a_text_that_is_too_long_and_data_of_too_many_parts_are_refused(gateway: Running) -> None:
    assert ask(gateway, text="a" * 60_001).status_code == 413
    parts = json.dumps({"annotation": [{"text": "a"}] * 100_001})
    assert ask(gateway, data=parts).status_code == 413


def test_the_languages_are_the_englishes(gateway: Running) -> None:
    found = httpx.get(f"{gateway.url}/v2/languages", trust_env=False).json()
    assert {"name": "English (US)", "code": "en", "longCode": "en-US"} in found
    assert {entry["code"] for entry in found} == {"en"}


def test_keys_apply_also_as_the_password_of_the_address(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = new_key(keys, "ann")
    options = Options(poll_seconds=0.05, keys_file=keys)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options) as running:
        assert ask(running, text=BEFORE).status_code == 401
        url = running.url.replace("http://", f"http://any:{key}@")
        assert httpx.get(f"{url}/v2/languages", trust_env=False).status_code == 200
