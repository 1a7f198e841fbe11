"""Choosing the point that explains an edit.

Belongs here: which points hold, in which order, and the sentence that follows. Does not belong here: conditions
(conditions.py), wording (prompts/grammar/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from correctly_assets.core.correction import ReasonLanguage
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit, EditKey
from correctly_assets.correction.alignment import flat_text
from correctly_assets.correction.points.catalogue import Catalogue, load_catalogue
from correctly_assets.correction.points.change import Change, changes_of, split_marks
from correctly_assets.correction.points.conditions import quoted
from correctly_assets.correction.points.groups import grouped
from correctly_assets.correction.reasons import FUNCTION_WORDS, load_rule_reasons
from correctly_assets.language.points import Point

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

    from correctly_assets.correction.annotate import ErrantAnnotator, LazyAnnotator


@dataclass(frozen=True)
class Match:
    """A point that holds for a change, and the words its sentence quotes.

    Attributes:
        specificity: how particular it is; more is more.
    """

    point: Point
    slots: dict[str, str]
    specificity: tuple[int, int]


@dataclass(frozen=True)
class Explanation:
    """One reason for an edit, or for edits that belong together.

    Attributes:
        edit_indexes: the edits that it explains, in order.
        point: ID of the grammar point; None where only the general sentence of the edit's type could be said.
        others: IDs of further points that hold and are less particular, in order.
    """

    edit_indexes: tuple[int, ...]
    point: str | None
    reason: str
    others: tuple[str, ...] = ()


def points_for(change: Change, catalogue: Catalogue | None = None) -> list[Match]:
    """The points that hold for a change, most particular first, each once."""
    known = catalogue or load_catalogue()
    entries = (known.groups if change.merged else known.single)[change.op]
    found: dict[str, Match] = {}
    for entry in entries:
        slots = entry.condition.check(change)
        if slots is None:
            continue
        specificity = (entry.condition.rank, entry.condition.weight)
        kept = found.get(entry.point.id)
        if kept is None or kept.specificity < specificity:
            found[entry.point.id] = Match(entry.point, {**_always(change), **slots}, specificity)
    return sorted(found.values(), key=lambda match: match.specificity, reverse=True)


def explain(
    before_doc: Doc, after_doc: Doc, edits: Sequence[Edit], language: ReasonLanguage = "en"
) -> list[Explanation]:
    """A reason for every edit; edits that belong together share one.

    Args:
        before_doc, after_doc: spaCy's parses of the learner's sentence and of the corrected one.
        edits: in order; their offsets count in ``before_doc``'s text and they lead to ``after_doc``'s.
    """
    catalogue = load_catalogue()
    changes = changes_of(before_doc, after_doc, edits)
    explanations: list[Explanation] = []
    groups = grouped(changes, lambda c: _holding(c, catalogue), lambda c: _holding(c, catalogue, True))
    for indexes, change in _touching_joined(groups, catalogue):
        matches = points_for(change, catalogue) or _of_parts(change, catalogue)
        if not matches:
            moved = len(indexes) == 1 and _moved(changes, indexes[0])
            edit = _for_general([edits[i] for i in indexes], change)
            explanations.append(Explanation(indexes, None, load_rule_reasons().reason(edit, language, moved=moved)))
            continue
        # Of equals, the first of the catalogue.
        first, *others = matches
        reason = first.point.reason(first.slots, language)
        explanations.append(Explanation(indexes, first.point.id, reason, tuple(match.point.id for match in others)))
    return explanations


class PointReasons:
    """Finds the reasons of texts' edits: what `correction.path.Corrector` takes as ``explain``.

    Args:
        annotator: whose parses are read; those of the edits' own extraction, where they are still kept.
    """

    def __init__(self, annotator: ErrantAnnotator | LazyAnnotator) -> None:
        self._annotator = annotator

    def __call__(self, before: str, after: str, edits: Sequence[Edit], language: ReasonLanguage) -> list[Explanation]:
        return explain(*self._annotator.docs(before, after), edits, language)

    def by_key(self, before: str, after: str) -> tuple[tuple[EditKey, str | None], ...]:
        """ERRANT's edits as scorers compare them, each with its grammar point (`evaluation.metrics.point_scores.PointsOf`)."""
        before, after = flat_text(before), flat_text(after)
        keys = [edit.key for edit in self._annotator.token_edits(before, after)]
        edits = self._annotator.edits(before, after) if keys else ()
        docs = self._annotator.docs(before, after)
        points: dict[int, str | None] = {}
        for explanations in explain(*docs, edits) if keys else ():
            points |= dict.fromkeys(explanations.edit_indexes, explanations.point)
        # Where two edits of tokens were made into one for the eye, both have its point.
        places = [docs[0][start].idx if start < len(docs[0]) else len(before) for start, _, _ in keys]
        nearest = (min(range(len(edits)), key=lambda i: _distance(edits[i], place)) for place in places)
        return tuple((key, points.get(index)) for key, index in zip(keys, nearest, strict=True))


def _touching_joined(
    groups: Sequence[tuple[tuple[int, ...], Change]], catalogue: Catalogue
) -> list[tuple[tuple[int, ...], Change]]:
    """The groups in order; words that went beside words of another kind that came are one edit, where no point explains either
    ("from" → "", "the" → "since")."""
    found: list[tuple[tuple[int, ...], Change]] = []
    for indexes, change in groups:
        if found and len(indexes) == 1 and not change.merged:
            earlier, last = found[-1]
            untyped = {(last.op, last.kind), (change.op, change.kind)} & {("R", "OTHER")}
            touch = last.o[1] == change.o[0] and last.c[1] == change.c[0] and untyped and "U" in (last.op, change.op)
            if touch and not any(points_for(c, catalogue) or _of_parts(c, catalogue) for c in (last, change)):
                o, c = (last.o[0], change.o[1]), (last.c[0], change.c[1])
                found[-1] = ((*earlier, *indexes), Change(change.before, change.after, o, c, "OTHER"))
                continue
        found.append((indexes, change))
    return found


def _for_general(edits: Sequence[Edit], change: Change) -> Edit:
    """The edit as the general sentence speaks of it: joined edits as one, and "In nowadays" → "Nowadays" as "in" that went."""
    edit = edits[0]
    if len(edits) > 1:
        return replace(edit, was=change.was_text, now=change.now_text, type="R:OTHER")
    if any(part.kind == "PUNCT" for part in split_marks(change)):
        return replace(edit, type="R:PUNCT")
    if change.op == "U" and edit.now.strip():
        was = _plain(change.was_text, change.o_tokens)
        return replace(edit, was=was, now="", type=f"U:{family(edit.type)}")
    return edit


def _of_parts(change: Change, catalogue: Catalogue) -> list[Match]:
    """The points of a change without the mark at its end, or of the marks alone where the words stayed: one edit may hold a
    word and a comma beside it ("childs" → "children,"), or a comma that went elsewhere."""
    found = (points_for(part, catalogue) for part in split_marks(change))
    return next((matches for matches in found if matches), [])


def _distance(edit: Edit, place: int) -> int:
    """How far a code point stands from an edit; 0 within it."""
    return max(edit.start - place, place - edit.end, 0)


def _holding(change: Change, catalogue: Catalogue, far: bool = False) -> frozenset[str]:
    """IDs of the points that hold; with ``far``, of those only that must be made of several edits."""
    entries = (catalogue.groups if change.merged else catalogue.single)[change.op]
    asked = (entry for entry in entries if not far or entry.condition.group == "only")
    return frozenset(entry.point.id for entry in asked if entry.condition.check(change) is not None)


def _moved(changes: Sequence[Change], index: int) -> bool:
    """Whether the words taken out are put in elsewhere, or the other way round; of words replaced, some that say much."""
    change = changes[index]
    others = [c for i, c in enumerate(changes) if i != index and (c.op != change.op or change.op == "R")]
    went, came = _went_and_came(change)
    if change.kind in ("PREP", "DET") and went | came <= FUNCTION_WORDS:
        return False  # That one "of" went and another came proves no move.
    if change.op == "R":
        return any((went & _went_and_came(c)[1] | came & _went_and_came(c)[0]) - FUNCTION_WORDS for c in others)
    if change.op == "M":
        exactly = any(change.now == other.was for other in others)
        return exactly or (bool(came - FUNCTION_WORDS) and any(came <= _went_and_came(c)[0] for c in others))
    # "Always" went into "have always"; that a small word came with others elsewhere proves no move.
    small = went <= FUNCTION_WORDS
    return bool(went) and any(went <= _went_and_came(c)[1] for c in others if c.op == "M" or not small)


def _went_and_came(change: Change) -> tuple[set[str], set[str]]:
    was, now = ({word for word in side.split() if word.isalpha()} for side in (change.was, change.now))
    return was - now, now - was


def _always(change: Change) -> dict[str, str]:
    """The slots that every change fills: its words, shortened, without a capital that only begins a sentence."""
    now = _short(_plain(change.now_text, change.c_tokens))
    left, right = change.place("left"), change.place("right")
    return {
        "was": _short(_plain(change.was_text, change.o_tokens)),
        "now": now,
        "left": quoted(left) if left is not None else "",
        "right": quoted(right) if right is not None else "",
    }


def _plain(text: str, tokens: Sequence[Token]) -> str:
    first = next(iter(tokens), None)
    if first is None or not first.is_sent_start:
        return text
    if first.tag_ in ("NNP", "NNPS") or first.text == "I" or first.text[1:] != first.text[1:].lower():
        return text
    return text[:1].lower() + text[1:]


def _short(text: str) -> str:
    """At most five words of a quotation, so that a reason stays a sentence a learner reads at a glance."""
    parts = text.split()
    return text if len(parts) <= 5 else f"{parts[0]} {parts[1]} … {parts[-2]} {parts[-1]}"
