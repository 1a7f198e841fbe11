"""Whether a stretch of text is in a language other than English.

Belongs here: the one judgement that chat, API, command line and evaluation share. Does not belong here: what is said to the
person (gateway/chat_text.py), or splitting a text into stretches (correction/segment.py).

Awkward, misspelt and very short English must pass, so that doubt counts as English: a statistical identifier alone takes
one learner's sentence in fifty for another language. It is believed where the words bear it out: few English function words,
and function words or letters of the language that it names.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import Any

_ENGLISHES = frozenset(("en", "pcm", "sco"))
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_FUNCTION_WORDS = frozenset(
    [
        "the",
        "a",
        "an",
        "of",
        "to",
        "and",
        "or",
        "but",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "am",
        "in",
        "on",
        "at",
        "for",
        "with",
        "from",
        "by",
        "this",
        "that",
        "these",
        "those",
        "it",
        "its",
        "he",
        "she",
        "they",
        "we",
        "you",
        "i",
        "me",
        "him",
        "her",
        "them",
        "us",
        "my",
        "your",
        "his",
        "our",
        "their",
        "not",
        "no",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "if",
        "so",
        "as",
        "than",
        "there",
        "here",
        "what",
        "which",
        "who",
        "when",
        "where",
        "why",
        "how",
        "because",
        "about",
        "into",
        "over",
        "up",
        "out",
        "all",
        "any",
        "some",
        "very",
        "just",
        "please",
        "thank",
        "thanks",
        "dear",
        "hello",
        "hi",
        "yes",
        "good",
        "don't",
        "didn't",
        "can't",
        "i'm",
        "it's",
        "idk",
        "dunno",
        "gonna",
        "wanna",
    ]
)
_SHARED = frozenset(
    re.findall(
        r"\w+",
        "a an in was so am no me as all i do he is we on or its at for from us her over up here by to hi can had of will if any into"
        " be good",
    )
)
"""Function words that another language writes alike."""
_ENGLISH_ALONE = _FUNCTION_WORDS - _SHARED
_COURTESIES = frozenset(
    re.findall(
        r"\w+",
        "guten morgen danke bitte grüße grüßen freundlichen tschüss grazie mille ciao buongiorno buonasera prego merci bonjour bonsoir"
        " salut cordialement gracias hola buenos buenas días adiós saludos obrigado obrigada olá atenciosamente tak takk tack hej"
        " bedankt groeten vriendelijke ziens wiedersehen revoir bientôt hasta luego tardes noches nada notte dziękuję cześć pozdrawiam děkuji köszönöm teşekkürler merhaba kiitos terima kasih",
    )
)
"""Words by which greetings and thanks of two words are known, which say too little else."""
_SURE = 0.6
_CODES = {"no": "nb", "nn": "nb"}
"""spaCy's names of languages where they differ."""
_MIN_WORDS, _MIN_LETTERS = 2, 9


def is_foreign(text: str) -> bool:
    """Whether a text is surely in another language: by its script, or by its words."""
    if other_script(text):
        return True
    words = [word.casefold().replace("’", "'") for word in _WORD.findall(text)]
    if words and len(words) < 4 and 2 * sum(word in _COURTESIES for word in words) >= len(words):
        return True
    if len(words) < _MIN_WORDS or sum(map(len, words)) < _MIN_LETTERS:
        return False
    english = sum(word in _FUNCTION_WORDS for word in words) / len(words)
    if english >= 0.2 and any(word in _ENGLISH_ALONE for word in words):
        return False
    ranked = identifier().rank(text)
    language, sure = ranked[0]
    # Languages much alike share the probability of being meant (Norwegian and Danish).
    if language in _ENGLISHES or 1 - sum(share for code, share in ranked if code in _ENGLISHES) < _SURE:
        return False
    own = function_words(language) - _FUNCTION_WORDS
    hits = sum(word in own for word in words)
    accents = sum(any("\u00c0" <= character < "\u0250" for character in word) for word in words)
    borne_out = hits / len(words) >= 0.2 or (hits >= 1 and accents >= 1) or accents / len(words) >= 0.25
    if english or len(words) < 3:
        return borne_out
    return borne_out or (accents >= 1 and sure > 0.9) or (sure > 0.95 and len(words) >= 5 and not own)


def is_english(text: str) -> bool:
    """Whether a text is surely English, as is asked of a sentence in a paragraph that is foreign as a whole."""
    words = [word.casefold().replace("’", "'") for word in _WORD.findall(text)]
    own = sum(word in _ENGLISH_ALONE for word in words)
    return len(words) >= 3 and own >= 2 and own / len(words) >= 0.2 and not is_foreign(text)


def other_script(text: str) -> bool:
    """Whether most of a text's letters are of another script than the Latin one."""
    letters = [character for character in text if character.isalpha()]
    return bool(letters) and sum(character < "\u0250" for character in letters) < len(letters) / 2


def language_named(text: str) -> str:
    """The code of the likeliest language of a text that is not English, such as ``ko``."""
    return next(code for code, _ in identifier().rank(text) if code not in _ENGLISHES)


@lru_cache(maxsize=1)
def identifier() -> Any:
    """py3langid's identifier with probabilities; a second to load, once a process."""
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_modelpath(MODEL_DIR / MODEL_FILE, norm_probs=True)


@lru_cache(maxsize=64)
def function_words(language: str) -> frozenset[str]:
    """spaCy's stop words of a language, empty where it has none."""
    try:
        found = import_module(f"spacy.lang.{_CODES.get(language, language)}.stop_words")
    except ImportError:
        return frozenset()
    return frozenset(word.casefold() for word in found.STOP_WORDS)
