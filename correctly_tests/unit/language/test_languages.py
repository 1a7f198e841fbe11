"""Every reason language tells every point, and a further language is one file more for each area."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from correctly_assets.core.correction import REASON_LANGUAGES
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.types import Edit
from correctly_assets.correction import house_wording as wording
from correctly_assets.correction import left_alone
from correctly_assets.correction import reason_rows as told
from correctly_assets.correction.reasons import REASONS_FILE, RuleReasons
from correctly_assets.gateway import chat_text
from correctly_assets.language.points import GRAMMAR_DIR, areas, languages, load_points, read_words

FIXED = {
    **{f"chat_text.{name}": getattr(chat_text, name) for name in ("ENGLISH_ONLY", "EMPTY", "NO_ANSWER", "NO_SUCH_ROW")},
    **{f"chat_text.{name}": getattr(chat_text, name) for name in ("WRONG", "RIGHT")},
    **{
        f"left_alone.{name}": getattr(left_alone, name)
        for name in ("NOTHING_TO_CHANGE", "NOT_CHANGED", "REST_READS_WELL", "NO_PROSE", "LEFT", "MORE")
    },
    "told.AS_IN": told.AS_IN,
    "wording.REASONS": wording.REASONS,
}


def further(directory: Path, **lines: str) -> Path:
    """A catalogue of two areas with a folder for French, one file an area."""
    for area in ("tense", "modals"):
        shutil.copy(GRAMMAR_DIR / f"{area}.yaml", directory)
    (directory / "fr").mkdir()
    for area in ("tense", "modals"):
        ids = areas()[area]
        other = "{short: 'Il faut autre chose.', long: 'Voici une phrase plus longue.'}"
        text = "".join(lines.get(each, f"{each}: {other}\n") for each in ids)
        (directory / "fr" / f"{area}.yaml").write_text(text, encoding="utf-8")
    return directory


def test_the_languages_that_can_be_asked_for_are_those_of_the_catalogue() -> None:
    assert set(REASON_LANGUAGES) == set(languages())


def test_every_point_is_told_in_every_language() -> None:
    for point in load_points().values():
        for language in languages():
            texts = point.wording(language)
            assert texts.short.strip() and texts.long.strip(), (point.id, language)


@pytest.mark.parametrize("name", sorted(load_points()))
def test_every_point_has_a_short_name_in_english_and_korean(name: str) -> None:
    point = load_points()[name]
    for title, longest in ((point.title("en"), 60), (point.title("ko"), 32)):
        assert title and title == title.strip() and not title.endswith("."), name
        assert len(title) <= longest, title


def test_every_general_sentence_is_told_in_every_language() -> None:
    for kind, operations in read_words(REASONS_FILE).items():
        for entry in (entry for entries in operations.values() for entry in entries):
            assert set(languages()) <= set(entry), kind


def test_the_house_refuses_a_general_sentence_that_lacks_a_language() -> None:
    templates = read_words(REASONS_FILE)
    del templates["ADV"]["U"][0]["ko"]
    with pytest.raises(PermanentError, match="ADV U"):
        RuleReasons(templates)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_what_the_gateway_says_itself_is_said_in_every_language(name: str) -> None:
    assert set(languages()) <= set(FIXED[name])


def test_a_further_language_is_a_folder_with_one_file_an_area(tmp_path: Path) -> None:
    since = """perfect_since: {name: 'Depuis', short: '"{word}" : il faut "{now}".', long: 'Une action qui dure encore.'}\n"""
    directory = further(tmp_path, perfect_since=since)
    assert languages(directory) == ("en", "ko", "fr")
    point = load_points(directory)["perfect_since"]
    assert point.reason({"word": "since", "now": "has worked"}, "fr") == '"since" : il faut "has worked".'
    assert (point.title("fr"), point.title("en")) == ("Depuis", "Present perfect with since and for")
    assert point.wording("fr").long == "Une action qui dure encore."
    with pytest.raises(PermanentError, match=r"'de'.*en, ko, fr"):
        point.wording("de")


def test_a_point_that_lacks_a_language_is_named(tmp_path: Path) -> None:
    directory = further(tmp_path, perfect_since="")
    with pytest.raises(PermanentError, match=r"fr/tense.yaml has no texts for the point perfect_since"):
        load_points(directory)


def test_an_area_that_lacks_a_language_is_named(tmp_path: Path) -> None:
    directory = further(tmp_path)
    (directory / "fr" / "modals.yaml").unlink()
    with pytest.raises(PermanentError, match=r"fr/modals.yaml is missing"):
        load_points(directory)


def test_a_sentence_of_a_further_language_has_at_most_25_words(tmp_path: Path) -> None:
    long = f"perfect_since: {{short: '{'mot ' * 26}', long: 'Une action qui dure encore.'}}\n"
    with pytest.raises(PermanentError, match=r"perfect_since: the fr short has over 25 words"):
        load_points(further(tmp_path, perfect_since=long))


def test_a_rule_reason_is_in_the_language_that_was_asked_for() -> None:
    rules = RuleReasons(read_words(REASONS_FILE))
    edit = Edit(0, 4, "also", "", "U:ADV")
    assert re.search("[가-힣]", rules.reason(edit, "ko")) and not re.search("[가-힣]", rules.reason(edit, "en"))
