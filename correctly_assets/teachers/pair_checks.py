"""The verification ladder: what every written pair must pass, cheap checks first.

Belongs here: pure checks over one pair and the refusal that names the rung. Does not belong here: safety patterns
(curation/), or keeping refusals (store/).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from difflib import SequenceMatcher

from correctly_assets.core.edits import apply_edits
from correctly_assets.core.json_shapes import Row
from correctly_assets.core.ports import Refusal
from correctly_assets.core.text import normalise, word_ngrams
from correctly_assets.core.types import TrainPair

Check = Callable[[TrainPair], str | None]
MAX_EDITS = 8
MAX_CHANGED = 0.5
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
# Single marks quote where one stands before a word and another after one: the apostrophes of don't and the boys' do not.
_QUOTED = re.compile(
    r"[\"“„]([^\"“”„]+)[\"“”]|(?<!\w)['‘‚](?=\w)((?:[^'‘’‚]|(?<=\w)['’](?=\w))+)(?<=[\w.,!?])['’‘](?!\w)|[«‹]([^«»‹›]+)[»›]"
)
_NEGATION = re.compile(
    r"\b(?:not|no|never|nobody|nothing|nowhere|none|neither|nor|without|cannot|can ?not)\b|n['’]t\b"
    r"|\b(?:do|does|did|is|are|was|were|ca|wo|could|would|should|must|need|have|has|had)nt\b",
    re.IGNORECASE,
)
_MAX_CHARACTERS = 2000


def schema(pair: TrainPair) -> str | None:
    """Why the pair is not well formed, or None: one line a side, neither empty nor too long, and edits that turn one into the other."""
    if not pair.before.strip() or not pair.after.strip():
        return "One side of the pair is empty."
    if max(len(pair.before), len(pair.after)) > _MAX_CHARACTERS:
        return f"A text is longer than {_MAX_CHARACTERS} characters."
    if "\n" in pair.before or "\n" in pair.after:
        return "A text runs over more than one line."
    try:
        yields = apply_edits(pair.before, pair.edits) == pair.after
    except ValueError as error:
        return str(error)
    return None if yields else "The edits do not turn the text into its correction."


def differs(pair: TrainPair) -> str | None:
    """Why the pair does not change what it should, or None: bait stays as it is, everything else changes."""
    if pair.origin == "bait":
        return None if pair.before == pair.after else "Bait must be left untouched."
    return "Nothing was changed." if pair.before == pair.after else None


def size(pair: TrainPair) -> str | None:
    """Why the pair changes too much, or None: at most `MAX_EDITS` edits and `MAX_CHANGED` of the words."""
    if pair.origin == "bait":
        return None
    if not 1 <= len(pair.edits) <= MAX_EDITS:
        return f"{len(pair.edits)} edits; 1 to {MAX_EDITS} are allowed."
    was, now = _TOKEN.findall(pair.before), _TOKEN.findall(pair.after)
    kept = sum(block.size for block in SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks())
    changed = 1 - kept / max(len(was), len(now), 1)
    if changed > MAX_CHANGED:
        return f"{100 * changed:.0f} % of the words changed; at most {100 * MAX_CHANGED:.0f} % may."
    return None


def numbers_kept(pair: TrainPair) -> str | None:
    """Why the pair's figures differ between the sides, or None."""
    was, now = Counter(_NUMBER.findall(pair.before)), Counter(_NUMBER.findall(pair.after))
    if was != now:
        odd = sorted((was - now) + (now - was))[0]
        return f"The figure {odd!r} is not on both sides."
    return None


def _names(text: str) -> set[str]:
    """Capitalised words that do not open a sentence, folded; "I" and its short forms apart."""
    found = set()
    for match in re.finditer(r"(?<=[\w,;)] )([A-Z][\w'’-]+)", text):
        word = match.group(1)
        if word.split("'")[0].split("’")[0] != "I":
            found.add(re.sub(r"['’]s?$", "", word).lower())
    return found


def names_kept(pair: TrainPair) -> str | None:
    """Why a name is lost or added, or None; a name that is only misspelt counts as kept."""
    before, after = pair.before.lower(), pair.after.lower()
    for name in sorted(_names(pair.after)):
        if name not in before and not _close(name, before):
            return f"The name {name!r} is only in the correction."
    for name in sorted(_names(pair.before)):
        if name not in after and not _close(name, after):
            return f"The name {name!r} is lost in the correction."
    return None


def _close(word: str, text: str) -> bool:
    """Whether the text holds the word misspelt or inflected."""
    return any(SequenceMatcher(None, word, other).ratio() >= 0.6 for other in re.findall(r"\w+", text))


def negation_kept(pair: TrainPair) -> str | None:
    """Why the correction says the opposite, or None: a negation stands on both sides or on neither."""
    was, now = bool(_NEGATION.search(pair.before)), bool(_NEGATION.search(pair.after))
    return None if was == now else "A negation appears on one side only."


def explained(pair: TrainPair) -> str | None:
    """Every edit has a reason, and what a reason quotes stands in the pair. Landed pairs are taken as they landed."""
    if pair.origin in {"human", "example", "thumb"}:
        return None
    both = _straight(f"{pair.before}\n{pair.after}")
    for edit in pair.edits:
        if not edit.reason or not edit.reason.strip():
            return f"The edit {edit.was!r} → {edit.now!r} has no reason."
    for edit in pair.edits if pair.origin == "teacher" else ():
        for quoted in map("".join, _QUOTED.findall(edit.reason or "")):
            if _straight(quoted.strip(" .,!?")) not in both:
                return f"The reason quotes {quoted!r}, which is in neither text."
    return None


def _straight(text: str) -> str:
    """In lower case and with plain apostrophes: a reason may write the other kind."""
    return text.lower().replace("’", "'").replace("‘", "'")


RUNGS: tuple[tuple[str, Check], ...] = (
    ("schema", schema),
    ("differs", differs),
    ("size", size),
    ("numbers", numbers_kept),
    ("names", names_kept),
    ("negation", negation_kept),
    ("reasons", explained),
)


class Ladder:
    """The rungs in order, ending with decontamination against every evaluation text it was given."""

    def __init__(
        self,
        evaluation: Iterable[str] = (),
        *,
        rungs: tuple[tuple[str, Check], ...] = RUNGS,
        safety: Check | None = None,
    ) -> None:
        """
        Args:
            safety: why a pair is not safe to train on (curation's detectors, joined in workflows/); none when left out.
        """
        self._rungs = (*rungs, ("safety", safety)) if safety else rungs
        self._whole: dict[str, str] = {}
        self._grams: dict[tuple[str, ...], str] = {}
        for text in evaluation:
            self._whole.setdefault(normalise(text), text)
            for gram in word_ngrams(text):
                self._grams.setdefault(gram, text)

    def check(self, pair: TrainPair) -> Refusal | None:
        """The refusal of the first rung that the pair does not pass, or None."""
        for rung, fails in self._rungs:
            if reason := fails(pair):
                return Refusal(rung, reason, as_row(pair))
        shown = self._shows(pair.before) or self._shows(pair.after)
        if shown is not None:
            return Refusal("decontamination", f"It shows the evaluation text {shown!r}.", as_row(pair))
        return None

    def _shows(self, text: str) -> str | None:
        if not self._whole:
            return None
        hit = self._whole.get(normalise(text))
        return hit or next((self._grams[g] for g in sorted(word_ngrams(text)) if g in self._grams), None)


def agreement(one: str, other: str) -> float:
    """How much of two corrections is the same, word by word, 0 to 1."""
    return SequenceMatcher(None, normalise(one).split(), normalise(other).split(), autojunk=False).ratio()


def as_row(pair: TrainPair) -> Row:
    """The pair as a refused row shows it."""
    return {
        "id": pair.id,
        "example_id": pair.example_id,
        "origin": pair.origin,
        "before": pair.before,
        "after": pair.after,
        "edits": [asdict(edit) for edit in pair.edits],
    }
