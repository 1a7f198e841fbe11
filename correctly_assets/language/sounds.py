"""With which sound a word begins, by its letters: what decides between "a" and "an".

Belongs here: that judgement. Does not belong here: where an article stands (correction/points/predicates/articles.py), or which
edits it speaks against (correction/vetoes.py).
"""

from __future__ import annotations


def vowel_sound(word: str) -> bool:
    """Whether a word begins with a vowel's sound. An abbreviation in capitals is taken to be spelt out."""
    low = word.lower()
    if low.startswith(("hour", "honest", "honour", "honor", "heir")):
        return True
    if low.startswith(("uni", "use", "usu", "eu", "one", "once", "ubiq", "uten", "ufo")) and not low.startswith(
        ("unin", "unim", "unid", "uninter")
    ):
        return False
    # "MBA", "M" of "M.A.", and "X" of "X-ray" are spelt out.
    if word.split("-")[0].isupper():
        return word[0] in "AEFHILMNORSX"
    return low[:1] in "aeiou8" or low.startswith(("11", "18"))


def spoken_either_way(word: str) -> bool:
    """Whether an abbreviation may be spelt out or read as a word, with another sound at its beginning (SQL, UPS, FAQ)."""
    return word.isupper() and len(word) > 1 and word[0] in "FHLMNRSUX"
