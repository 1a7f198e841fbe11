"""A house style holds for every answer at once: kept words, spellings, terms, and kinds of edit that are not made."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.errors import UsageError
from correctly_assets.core.house_style import NO_STYLE, HouseStyle, parse_house_style
from correctly_assets.core.types import Correction
from correctly_assets.correction.left_alone import without_notice
from correctly_assets.correction.path import Corrector
from correctly_assets.correction.points.choose_point import PointReasons
from correctly_assets.correction.render import chat_answer
from correctly_assets.language.varieties import spelling
from correctly_tests.oracle import PROMPTS, Oracle
from correctly_tests.serving_fakes import errant_annotator


def corrected(text: str, right: str, reason_language: Any = "en", **style: Any) -> Correction:
    annotator = errant_annotator()
    path = Corrector(Oracle(right), annotator, PROMPTS, explain=PointReasons(annotator))
    wanted = parse_house_style(style) if style else NO_STYLE
    answer = asyncio.run(
        path.correct(text, model="m", release=None, adapter=None, reason_language=reason_language, style=wanted)
    )
    assert apply_edits(text, answer.edits) == answer.after
    return answer


@pytest.mark.parametrize(
    ("text", "right", "keep", "after"),
    [
        ("She like teh book.", "She likes the book.", ["teh"], "She likes teh book."),
        ("I am gonna go home soon.", "I am going to go home soon.", ["gonna"], "I am gonna go home soon."),
        ("Gonna be late, he say.", "Going to be late, he says.", ["gonna"], "Gonna be late, he says."),
        ("The Data Vault are full.", "The data vault is full.", ["Data Vault"], "The Data Vault is full."),
        ("He use IPhone and iphone.", "He uses iPhone and iPhone.", ["IPhone"], "He uses IPhone and iPhone."),
    ],
)
def test_kept_words_are_never_touched(text: str, right: str, keep: list[str], after: str) -> None:
    assert corrected(text, right, keep=keep).after == after


def test_without_a_style_the_same_word_is_corrected() -> None:
    assert corrected("She like teh book.", "She likes the book.").after == "She likes the book."


def test_kept_words_count_as_known_words() -> None:
    text = "The wuzzle granzel tropik bliffo is here."
    assert corrected(text, text).skipped
    assert not corrected(text, text, keep=["wuzzle", "granzel", "tropik", "bliffo"]).skipped


@pytest.mark.parametrize(
    ("text", "variety", "after"),
    [
        ("The color of the theater is gray.", "en-GB", "The colour of the theatre is grey."),
        ("We organized the canceled labeling.", "en-GB", "We organised the cancelled labelling."),
        (
            "We organised the cancelled analysis of behaviour.",
            "en-US",
            "We organized the canceled analysis of behavior.",
        ),
        ("We organised it and analyzed the color.", "en-GB-oxendict", "We organized it and analysed the colour."),
        ("Color is what THE LABOR party likes.", "en-GB", "Colour is what THE LABOR party likes."),
        (
            "The rise of expertise in exercise surprised them.",
            "en-US",
            "The rise of expertise in exercise surprised them.",
        ),
        (
            "See `color` at https://x.org/color for the color.",
            "en-GB",
            "See `color` at https://x.org/color for the colour.",
        ),
        ("She moved to Pearl Harbor.", "en-GB", "She moved to Pearl Harbor."),
        ("THE COLOR IS GRAY AND THE HONOR IS OURS.", "en-GB", "THE COLOUR IS GREY AND THE HONOUR IS OURS."),
    ],
)
def test_a_variety_is_spelt_throughout(text: str, variety: str, after: str) -> None:
    answer = corrected(text, text, variety=variety)
    assert answer.after == after
    assert all("house style" in (edit.reason or "") for edit in answer.edits)


def test_without_a_variety_the_writers_own_spelling_stands() -> None:
    text = "The colour were nice."
    assert corrected(text, "The color was nice.").after == "The colour was nice."
    assert corrected(text, "The color was nice.", variety="en-US").after == "The color was nice."
    assert corrected("The color were nice.", "The color was nice.", variety="en-GB").after == "The colour was nice."


TERMS = {"log in": "sign in", "e-mail": "email", "mail": "message", "kid": "child"}


@pytest.mark.parametrize(
    ("text", "right", "after"),
    [
        ("Log in before you go.", "", "Sign in before you go."),
        ("He logs in and she logged in.", "", "He signs in and she signed in."),
        ("He log in every day.", "He logs in every day.", "He signs in every day."),
        ("Send two e-mails to the kids.", "", "Send two emails to the children."),
        ("It is an e-mail.", "", "It is an email."),
        ("A mail came, and a mail went.", "", "A message came, and a message went."),
        ("He has `log in` here.", "", "He has `log in` here."),
        ("The catalog is blogged in.", "", "The catalog is blogged in."),
    ],
)
def test_preferred_terms_are_put_in_with_their_forms(text: str, right: str, after: str) -> None:
    answer = corrected(text, right or text, terms=TERMS)
    assert answer.after == after


def test_an_article_follows_the_term() -> None:
    assert corrected("It is a picture.", "It is a picture.", terms={"picture": "image"}).after == "It is an image."
    assert corrected("It is an image.", "It is an image.", terms={"image": "picture"}).after == "It is a picture."
    assert corrected("It is a member.", "It is a member.", terms={"member": "user"}).after == "It is a user."


def test_a_term_says_why_and_the_models_own_edits_keep_their_reasons() -> None:
    first, second = corrected("She go home to log in.", "She goes home to log in.", terms=TERMS).edits
    assert first.point is not None and "house style" not in (first.reason or "")
    assert second.reason == "The house style says “sign in”, not “log in”."
    assert second.reason_origin == "rule"
    *_, korean = corrected("She go home to log in.", "She goes home to log in.", "ko", terms=TERMS).edits
    assert "하우스 스타일" in (korean.reason or "")


@pytest.mark.parametrize(
    ("leave", "after"),
    [
        (["PUNCT"], "However he goes home"),
        (["comma"], "However he goes home."),
        (["subject-verb agreement"], "However, he go home."),
        (["R:VERB:SVA", "punctuation"], "However he go home"),
    ],
)
def test_a_kind_of_edit_can_be_left_alone(leave: list[str], after: str) -> None:
    assert corrected("However he go home", "However, he goes home.", leave=leave).after == after


def test_a_kept_word_stands_against_terms_and_spelling() -> None:
    text = "The color of the log in page."
    assert corrected(text, text, keep=["color", "log in"], terms=TERMS, variety="en-GB").after == text


def test_styles_join_and_the_later_one_holds() -> None:
    house = parse_house_style({"variety": "en-GB", "keep": ["a b"], "terms": {"log in": "sign in"}})
    both = house.with_(
        parse_house_style({"variety": "en-US", "keep": ["c"], "terms": {"log in": "log on"}, "leave": ["comma"]})
    )
    assert both == HouseStyle("en-US", ("a b", "c"), (("log in", "log on"),), ("COMMA",))
    assert parse_house_style(both.to_json()) == both


@pytest.mark.parametrize(
    "style",
    [{"variety": "en-AU"}, {"keep": "x"}, {"keep": [""]}, {"leave": ["NONSENSE"]}, {"terms": ["x"]}, {"words": []},
     {"keep": ["x" * 101]}, {"terms": {"a": 1}}],
)  # fmt: skip
def test_a_style_that_cannot_be_is_refused_in_words(style: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"\w+ \w+"):
        parse_house_style(style)


def test_words_that_only_look_alike_are_one_spelling() -> None:
    for word in ("meter", "program", "practice", "prize", "expertise", "analyses", "four", "promise", "size"):
        assert spelling(word, "en-GB") is None
    assert spelling("metre", "en-US") == "meter"


@pytest.mark.parametrize(
    ("named", "variety"), [("British", "en-GB"), ("oxford", "en-GB-oxendict"), ("EN-us", "en-US"), ("en_GB", "en-GB")]
)
def test_a_variety_is_known_by_its_name_too(named: str, variety: str) -> None:
    assert parse_house_style({"variety": named}).variety == variety


@pytest.mark.parametrize(
    ("text", "right", "style"),
    [
        ("We use kubctl daily.", "We use kubectl daily.", {"keep": ["kubctl"]}),
        ("However he goes home.", "However, he goes home.", {"leave": ["PUNCT"]}),
    ],
)
def test_what_the_house_style_alone_kept_is_said(text: str, right: str, style: dict[str, Any]) -> None:
    answer = corrected(text, right, **style)
    assert answer.after == text and [one.why for one in answer.skipped] == ["the house style"]
    said = chat_answer(answer)
    assert said.startswith("There is nothing to change but what the house style leaves alone.")
    assert without_notice(said) == ""


def test_kept_words_beside_marks_and_within_one_another_stay() -> None:
    text = "He use the Data Vault Pro at https://x.org/Data and `Data`."
    right = "He uses the data vault pro at https://x.org/Data and `Data`."
    keep = ["Data Vault Pro", "Vault", "Data", "Pro"]
    assert corrected(text, right, keep=keep).after == text.replace("use", "uses", 1)


def test_thousands_of_words_cost_little() -> None:
    style = {"keep": [f"word{n}" for n in range(2000)], "terms": {f"old{n}": f"new{n}" for n in range(2000)}}
    corrected("He go home.", "He goes home.", **style)
    started = time.perf_counter()
    assert (
        corrected("He go to old7 and word7.", "He goes to old7 and word7.", **style).after
        == "He goes to new7 and word7."
    )
    assert time.perf_counter() - started < 3
