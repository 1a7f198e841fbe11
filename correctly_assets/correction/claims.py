"""What a reason asserts of the words it quotes, held against what those words can be.

Belongs here: reading claims such as '"children" is plural' or 'so the verb is "goes"' off an English reason, and telling those that
cannot be true. Does not belong here: what else a reason must be (reasons.py). A small model learns the shape of an explanation
long before its truth, and is most certain of the shape: in 71 reasons of the embedded model, the ones with the highest
probabilities were the false ones. So the claims themselves are looked at. A reason without such a claim passes.
"""

from __future__ import annotations

import re
from functools import lru_cache

from correctly_assets.core.correction import GRAMMAR_WORDS
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit
from correctly_assets.language.inflection import all_inflections, all_lemmas

_Q = r"[\"“‘']([^\"”’']+(?:['’](?=\w)[^\"”’']*)*)[\"”’']"
_KIND = r"noun|verb|adverb|pronoun|article|question"
_NUMBER = re.compile(rf"{_Q} (?:is|are) (?:an? |the |in the )?(plural|singular)\b", re.I)
_NUMBER_OF = re.compile(rf"\b(plural|singular)(?: (?:noun|subject|form|pronoun|word))?(?: is| must be)? {_Q}", re.I)
_VERB_IS = re.compile(rf"\bverb (?:form )?(?:is|must be|should be|has to be|becomes) {_Q}", re.I)
_IS_VERB = re.compile(rf"{_Q} is the verb\b", re.I)
_IS_A = re.compile(rf"{_Q} is (?:an? |the )(?:\w+ )?({_KIND})\b(?! of| after| before| that| to)", re.I)
_NAMED = re.compile(rf"\bthe (?:\w+ )?(noun|verb|adverb) {_Q}", re.I)
_PAST = re.compile(rf"\b(?:simple past|past (?:simple|tense|participle)|past)(?: (?:form )?of {_Q})? is {_Q}", re.I)
_IS_PAST = re.compile(rf"{_Q} is (?:an? |the )(?:simple )?past\b", re.I)
_FOLLOWED = re.compile(rf"{_Q} is (?:always |usually )?followed by (?:{_Q}|an? (person)\b)", re.I)
_MARK = re.compile(
    r"\bfollowed by an? (?:period|comma|full stop|question mark|exclamation mark|colon|semicolon)\b", re.I
)

_PLURALS_TEXT = """
we they us them these those many both few several others two three four five six seven eight nine ten dozens
"""
_PLURALS = frozenset(_PLURALS_TEXT.split())
_SINGULARS_TEXT = """
he she it him her this that one each every everyone everybody everything someone somebody something anyone anybody
anything nobody nothing none either neither much another
"""
_SINGULARS = frozenset(_SINGULARS_TEXT.split())
_PEOPLE_TEXT = """
me you him her us them myself yourself himself herself ourselves themselves someone somebody everyone
"""
_PEOPLE = frozenset(_PEOPLE_TEXT.split())
_IRREGULAR = {
    "is": "third",
    "was": "third",
    "has": "third",
    "does": "third",
    "are": "plain",
    "were": "plain",
    "do": "plain",
    "have": "plain",
}
_PREPOSITIONS_TEXT = """
of in on at besides by for from with about into over to until since during without within between among against
through after before under above below near as than like up off out down along across behind beside despite towards
"""
_PREPOSITIONS = frozenset(_PREPOSITIONS_TEXT.split())


def untrue_claim(edit: Edit, reason: str, after: str) -> str | None:
    """The first claim of a reason that cannot be true; None where every one that is understood can be.

    Args:
        after: the corrected sentence.
    """
    numbers = [(m.group(1), m.group(2)) for m in _NUMBER.finditer(reason)]
    numbers += [(m.group(2), m.group(1)) for m in _NUMBER_OF.finditer(reason)]
    for phrase, number in numbers:
        if not _can_be_number(phrase, number.lower()) and not phrase.startswith("-"):
            return f"{phrase} is not {number.lower()}"
    verbs = [m.group(1) for m in (*_VERB_IS.finditer(reason), *_IS_VERB.finditer(reason))]
    for phrase in verbs:
        if not any(_forms(word, "VERB") for word in _words(phrase)) or not _may_be_of_a_verb(edit):
            return f"{phrase} is not the verb"
        if any(_disagree(number.lower(), phrase) for _, number in numbers):
            return f"{phrase} does not agree"
        if any(_words(subject) == _words(phrase) for subject, _ in numbers):
            return f"{phrase} is not its own subject"
    for match in _IS_A.finditer(reason):
        if not _is_kind(match.group(1), match.group(2).lower(), after) or _other_kind(edit, *match.groups()):
            return f"{match.group(1)} is no {match.group(2).lower()}"
    for match in _NAMED.finditer(reason):
        if not _is_kind(match.group(2), match.group(1).lower(), after):
            return f"{match.group(2)} is no {match.group(1).lower()}"
    for phrase in [m.group(2) for m in _PAST.finditer(reason)] + [m.group(1) for m in _IS_PAST.finditer(reason)]:
        words = _words(phrase)
        if len(words) > 4 or not any(_forms(word, "VERB") & {"VBD", "VBN"} for word in words):
            return f"{phrase} is no past"
    if (mark := _MARK.search(reason)) and family(edit.type) not in ("PUNCT", "OTHER", "ORTH"):
        return f"no mark is {mark.group()}"
    for match in _FOLLOWED.finditer(reason):
        if not _follows(match.group(1), match.group(2), after):
            return f"{match.group(1)} is not followed by that"
    return None


def _words(phrase: str) -> list[str]:
    return re.findall(r"[\w'’-]+", phrase.casefold().replace("’", "'"))


@lru_cache(maxsize=4096)
def _forms(word: str, kind: str) -> frozenset[str]:
    """The Penn tags that a word can have as a NOUN, VERB, ADJ or ADV."""
    if word in _PREPOSITIONS or (word in GRAMMAR_WORDS and kind != "VERB"):
        return frozenset()
    word = word.removesuffix("n't") if kind == "VERB" else word
    found: set[str] = set()
    for upos, lemmas in all_lemmas(word).items():
        if upos == kind or (upos == "AUX" and kind == "VERB") or (upos == "PROPN" and kind == "NOUN"):
            for lemma in lemmas:
                forms = all_inflections(lemma, upos)
                found |= {tag for tag, written in forms.items() if word in written} or {"?"}
    return frozenset(found)


def _can_be_number(phrase: str, number: str) -> bool:
    words = _words(phrase)
    if not words:
        return False
    head = words[-1]
    known = _PLURALS if number == "plural" else _SINGULARS
    other = _SINGULARS if number == "plural" else _PLURALS
    if head == "you":
        return True
    if head in known or (number == "plural" and ("and" in words or any(w in _PLURALS or w.isdigit() for w in words))):
        return True
    if head in other:
        return False
    if len(head) == 1:
        return True  # an ending
    if words[:2] == ["the", "number"]:
        return number == "singular"
    # "One of my friends" is singular, whatever its last word is.
    if "of" in words and number == "singular" and words[0] in _SINGULARS:
        return True
    form = _IRREGULAR.get(head.removesuffix("n't"))
    if form is not None:
        return form == ("plain" if number == "plural" else "third")  # "are" is plural, as reasons on agreement say
    tags, verbs = _forms(head, "NOUN"), _forms(head, "VERB")
    if number == "singular" and "VBZ" in verbs:
        return True
    if not tags and not verbs and head not in GRAMMAR_WORDS:
        return head.endswith("s") == (number == "plural")  # no dictionary knows it
    return "?" in tags or bool(tags & ({"NNS", "NNPS"} if number == "plural" else {"NN", "NNP"}))


def _may_be_of_a_verb(edit: Edit) -> bool:
    kind = family(edit.type)
    return kind.startswith("VERB") or kind in ("MORPH", "SPELL", "OTHER", "WO", "PART")


def _disagree(number: str, verb: str) -> bool:
    """Whether a present verb's form contradicts the number of its subject."""
    words = [word for word in _words(verb) if _forms(word, "VERB")]
    if not words:
        return False
    form = _IRREGULAR.get(words[0].removesuffix("n't"))
    if form is None:
        tags = _forms(words[0], "VERB")
        form = "third" if tags == {"VBZ"} else "plain" if tags <= {"VB", "VBP"} else None
    return form == ("third" if number == "plural" else "plain")


def _other_kind(edit: Edit, phrase: str, kind: str) -> bool:
    """Whether a reason calls a noun what the edit itself changes as a verb."""
    own = {edit.was.strip().casefold(), edit.now.strip().casefold()}
    return kind.lower() == "noun" and family(edit.type).startswith("VERB:") and phrase.casefold() in own


def _is_kind(phrase: str, kind: str, after: str) -> bool:
    words = _words(phrase)
    if not words:
        return False
    if kind == "question":
        return "?" in after
    if kind == "article":
        return any(word in ("a", "an", "the") for word in words)
    if kind == "pronoun":
        return any(word in GRAMMAR_WORDS for word in words)
    if kind == "noun" and phrase[:1].isupper() and phrase in after:
        return True  # a name
    upos = {"noun": "NOUN", "verb": "VERB", "adverb": "ADV"}[kind]
    return any(_forms(word, upos) or (upos == "VERB" and word.endswith(("'ll", "'ve", "'re", "'s"))) for word in words)


def _follows(first: str, second: str | None, after: str) -> bool:
    """Whether ``second``, or a person where it is None, comes right after ``first`` in the corrected sentence."""
    claimed, words = _words(first), _words(after)
    original = re.findall(r"[\w'’-]+", after)
    for at in range(len(words) - len(claimed)):
        if all(_same(a, b) for a, b in zip(claimed, words[at : at + len(claimed)], strict=True)):
            at += len(claimed)
            if second is None:
                if words[at] in _PEOPLE or original[at][0].isupper():
                    return True
            elif _same(_words(second)[0] if _words(second) else "", words[at]):
                return True
    return False


def _same(one: str, other: str) -> bool:
    """The same word, or a form of it."""
    return one == other or (len(one) > 2 and one[:3] == other[:3] and abs(len(one) - len(other)) <= 3)
