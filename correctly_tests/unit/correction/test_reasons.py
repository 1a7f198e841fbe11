"""Rule reasons are true, short and in the right language; a model's reason is shown only if it speaks of its edit."""

from __future__ import annotations

import re

import pytest
import yaml

from correctly_assets.core.correction import REASON_LANGUAGES, names_the_right_kind, quoted_phrases
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.taxonomy import ERRANT_TYPES
from correctly_assets.core.types import Edit
from correctly_assets.correction.reasons import (
    CONDITIONS,
    REASONS_FILE,
    RuleReasons,
    check_model_reason,
    load_rule_reasons,
)

RULES = load_rule_reasons()
TEMPLATES = yaml.safe_load(REASONS_FILE.read_text(encoding="utf-8"))


def edit(was: str, now: str, kind: str) -> Edit:
    return Edit(0, len(was), was, now, kind)


@pytest.mark.parametrize("kind", sorted(ERRANT_TYPES))
@pytest.mark.parametrize(
    "sides", [("", "of which the"), ("of which the", ""), ("one two three four five", "a b c d e f")]
)
def test_every_type_has_a_short_reason_for_every_operation_and_language(kind, sides):
    was, now = sides
    operation = "M" if not was else "U" if not now else "R"
    for language in REASON_LANGUAGES:
        reason = RULES.reason(edit(was, now, f"{operation}:{kind}"), language)
        assert 3 <= len(reason.split()) <= 25
        assert "{" not in reason
        assert reason.endswith(".")
        assert bool(re.search("[가-힣]", reason)) == (language == "ko")


@pytest.mark.parametrize("kind", sorted(ERRANT_TYPES))
def test_missing_replaced_and_unnecessary_words_are_explained_differently(kind):
    reasons = {RULES.reason(edit(*sides, f"R:{kind}")) for sides in (("", "on"), ("in", "on"), ("in", ""))}
    assert len(reasons) == 3


@pytest.mark.parametrize(
    ("was", "now", "kind", "says"),
    [
        ("a", "an", "R:DET", "vowel sound"),
        ("baker's", "baker", "R:NOUN:POSS", "without the apostrophe"),
        ("polices", "police", "R:NOUN:NUM", "plural already"),
        ("there", "three", "R:SPELL", "word written here"),
        ("an", "a", "R:DET", "consonant sound"),
        ("any", "a", "R:DET", "goes with this noun"),
        ("propose to meet", "suggest meeting", "R:VERB:FORM", "verb form needed"),
        ("", "the", "M:DET", "clear which one"),
        ("", ",", "M:PUNCT", "comma"),
        ("i", "I", "R:ORTH", "always a capital"),
        ("english", "English", "R:ORTH", "capital letter"),
        ("alot", "a lot", "R:ORTH", "separate words"),
        ("car", "cars", "R:NOUN:NUM", "plural"),
        ("dont", "don't", "R:CONTR", "apostrophe"),
        ("more better", "better", "R:ADJ:FORM", "one comparison form"),
        ("to swim", "swimming", "R:VERB:FORM", "-ing form"),
    ],
)
def test_the_words_of_an_edit_choose_the_closest_reason(was, now, kind, says):
    assert says in RULES.reason(edit(was, now, kind))


def test_every_condition_of_the_templates_can_hold_and_is_used():
    used = {
        e["when"]
        for operations in TEMPLATES.values()
        for entries in operations.values()
        for e in entries
        if "when" in e
    }
    assert used == set(CONDITIONS)


def test_rule_reasons_pass_the_check_that_model_reasons_must_pass():
    samples = [
        ("go", "goes", "R:VERB:SVA"),
        ("", "the ", "M:DET"),
        ("at", "in", "R:PREP"),
        ("recieve", "receive", "R:SPELL"),
    ]
    for was, now, kind in samples:
        one = edit(was, now, kind)
        before, after = f"We {was} it here.", f"We {now} it here."
        for language in REASON_LANGUAGES:
            assert check_model_reason(one, RULES.reason(one, language), before, after, language) is None


def test_templates_without_a_type_or_with_an_unknown_condition_are_refused():
    with pytest.raises(PermanentError, match="WO"):
        RuleReasons({kind: entries for kind, entries in TEMPLATES.items() if kind != "WO"})
    odd = {**TEMPLATES, "WO": {"R": [{"when": "moonlight", "en": "x", "ko": "x"}, {"en": "x", "ko": "x"}]}}
    with pytest.raises(PermanentError, match="WO"):
        RuleReasons(odd)


BEFORE, AFTER = "He go to school in the morning.", "He goes to school in the morning."
GO = edit("go", "goes", "R:VERB:SVA")


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ('The subject "He" is singular, so the verb is "goes".', None),
        ("The verb must agree with its subject.", None),
        ("After “He”, use “goes” and not “go”, e.g. in the present.", None),
        ("", "empty"),
        ("Use goes.", "2 words"),
        ("The verb must agree with its subject", "unfinished"),
        ("The verb must agree with he. It is a rule.", "more than one sentence"),
        ("The verb agrees with goes with goes with goes.", "repetition"),
        ('The verb "goes" stands before "banana" here.', "quotes words that do not occur"),
        ('The word "school" needs the form "schools".', "speaks of another change"),
        ('The verb "goes" is a form of "go", and takes "-es" or "to".', None),
        ("He goes to school on a morning.", "echo"),
        ("Goes boy is a thing now.", "says nothing about English"),
        ("He goes to school in the morning.", "echo"),
        ("This phrase sounds much more natural like that.", "speaks of another change"),
        ("A preposition is needed after goes in English.", "names another kind of error"),
        ('Use "go" because the subject is singular.', "turned around"),
        ("<start_of_turn>The verb must agree with its subject.", "format"),
        ("동사는 주어와 수가 일치해야 합니다.", "another language"),
    ],
)
def test_a_model_reason_is_checked(reason, why):
    assert check_model_reason(GO, reason, BEFORE, AFTER) == why


@pytest.mark.parametrize(
    ("was", "now", "kind", "reason", "why"),
    [
        ("raised", "risen", "R:VERB", 'The correct spelling is "risen".', "names another kind of error"),
        ("however", "but", "R:OTHER", 'The correct spelling is "but".', "names another kind of error"),
        ("recieve", "receive", "R:SPELL", 'The correct spelling is "receive".', None),
        ("city", "cities", "R:NOUN:NUM", 'The plural "cities" is spelled "cities".', "repetition"),
        ("login", "log in", "R:ORTH", 'The "log in" word is "log in".', "repetition"),
        ("putted", "put", "R:VERB:INFL", 'The past form of "put" is "put".', None),
        (
            "informations",
            "information",
            "R:NOUN:NUM",
            'More than one is meant, so the plural is "information".',
            "turned around",
        ),
        ("informations", "information", "R:NOUN:NUM", '"Information" has no plural.', None),
        ("foots", "feet", "R:NOUN:NUM", 'The plural of "foot" is irregular: "feet".', None),
        ("will ", "", "U:VERB:TENSE", '"Need" is followed by a verb, so use "will".', "does not say why it goes"),
        ("the ", "", "U:DET", 'The name "Paris" takes no article.', None),
        ("the ", "", "U:DET", 'The article is missing, so do not forget to use "the".', "turned around"),
    ],
)
def test_what_small_models_say_of_everything_is_not_taken_for_a_reason(was, now, kind, reason, why):
    before = f"We need it: {was} and Paris."
    assert check_model_reason(edit(was, now, kind), reason, before, before.replace(was, now)) == why


def test_a_korean_reason_must_be_korean():
    assert check_model_reason(GO, "주어 ‘He’ 뒤에는 동사 ‘goes’ 형태를 씁니다.", BEFORE, AFTER, "ko") is None
    assert check_model_reason(GO, "The verb must agree with its subject.", BEFORE, AFTER, "ko") == "another language"


def test_a_punctuation_mark_may_be_called_by_its_name():
    comma = edit("", ",", "M:PUNCT")
    before, after = "Hello John how are you?", "Hello John, how are you?"
    assert check_model_reason(comma, "A comma follows the name of who is spoken to.", before, after) is None


def test_a_reason_that_speaks_of_a_mark_the_edit_leaves_is_another_edits():
    before, after = "She suggested me to go, and we went.", "She suggested that I go, and we went."
    words = edit("", "that", "M:OTHER")
    assert (
        check_model_reason(words, 'The word "that" is followed by a comma.', before, after)
        == "names another kind of error"
    )
    assert check_model_reason(words, 'After "suggested" the clause begins with "that".', before, after) is None
    mark = edit("", ",", "M:PUNCT")
    assert check_model_reason(mark, 'A comma stands before "and" where a new clause begins.', before, after) is None


def test_all_kinds_of_quotation_marks_are_read():
    said = """Use "an", ‘the’, 'I don't', `x` and “no”."""
    assert set(quoted_phrases(said)) == {"an", "the", "I don't", "x", "no"}


def test_a_kind_counts_as_right_for_neighbouring_types_only():
    assert names_the_right_kind("The past tense is needed.", "R:VERB:FORM") is True
    assert names_the_right_kind("The past tense is needed.", "R:PREP") is False
    assert names_the_right_kind("This sounds better.", "R:PREP") is None
    assert names_the_right_kind("The past tense is needed.", "R:OTHER") is True
    # One right kind does not make up for a wrong one; a past participle is no tense.
    assert names_the_right_kind("The past simple is always written with a capital letter.", "R:ORTH") is False
    assert names_the_right_kind('The past form of "have" is "has".', "R:VERB:SVA") is False
    assert names_the_right_kind('The pronoun "I" is always a capital letter.', "R:ORTH") is True
    assert names_the_right_kind('"Never" goes between "have" and the past participle.', "R:WO") is True
