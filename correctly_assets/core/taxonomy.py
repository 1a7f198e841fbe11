"""The error taxonomy: ERRANT's types in plain words.

Belongs here: names of error types and forms that prompts, reasons and reports share. Does not belong here: the rule
reasons' wording (correction/reasons.py) or the rules that inject errors (teachers/).
"""

from __future__ import annotations

from dataclasses import dataclass

ERRANT_TYPES: dict[str, str] = {
    "ADJ": "adjective choice",
    "ADJ:FORM": "comparative or superlative form",
    "ADV": "adverb choice",
    "CONJ": "conjunction",
    "CONTR": "contraction",
    "DET": "article or determiner",
    "MORPH": "word form",
    "NOUN": "noun choice",
    "NOUN:INFL": "noun inflection",
    "NOUN:NUM": "singular or plural",
    "NOUN:POSS": "possessive",
    "ORTH": "capitals or spacing",
    "OTHER": "wording",
    "PART": "particle",
    "PREP": "preposition",
    "PRON": "pronoun",
    "PUNCT": "punctuation",
    "SPELL": "spelling",
    "VERB": "verb choice",
    "VERB:FORM": "verb form",
    "VERB:INFL": "verb inflection",
    "VERB:SVA": "subject-verb agreement",
    "VERB:TENSE": "tense",
    "WO": "word order",
}

FORMS = (
    "message",
    "email",
    "essay",
    "review",
    "report",
    "dialogue",
    "diary",
    "social post",
    "cover letter",
    "meeting notes",
)
TONES = ("friendly", "polite", "neutral", "formal", "annoyed", "enthusiastic", "apologetic", "worried")


@dataclass(frozen=True, slots=True)
class Phrasing:
    """How prompts put a form and a tone into words; a row of the taxonomy tables.

    Attributes:
        form_form, feeling: what stands in place of {form_form} and {mapping_emotion_form_tone}.
    """

    form: str
    tone: str
    form_form: str
    feeling: str


def family(errant_type: str) -> str:
    """``R:VERB:SVA`` → ``VERB:SVA``: the type without its operation (R, M, U)."""
    return errant_type.split(":", 1)[1] if errant_type[:2] in ("R:", "M:", "U:") else errant_type


def plain_name(errant_type: str) -> str:
    """The type in words a learner understands."""
    return ERRANT_TYPES.get(family(errant_type), "wording")
