"""How the reasons of one text are told: the point's name where it helps, and the same error only once.

Belongs here: names, row numbers, "As in 2.". Does not belong here: Markdown (render.py), choosing a reason
(points/choose_point.py), the longer texts for "why?" (gateway/chat_text.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from correctly_assets.core.correction import quoted_phrases
from correctly_assets.core.types import Edit
from correctly_assets.language.points import MOST_WORDS, Point, load_points

OF_WORDS = frozenset(
    (
        "collocations",
        "confused_words",
        "prepositions",
        "spelling",
        "spelling_families",
        "verb_patterns",
        "word_choice",
    )
)
"""Areas whose points tell of single words: the same point with other words is another error there."""
AS_IN = {"en": "As in {row}.", "ko": "{row}번과 같습니다."}
"""What stands in place of a reason that an earlier row gives."""
_MOST_QUOTED = 5
"""Words of an edit that are quoted beside a name."""
_CONTENT = re.compile(r"[^\W\d_가-힣]{3,}|[가-힣]{2,}")
_KOREAN_END = re.compile(r"(?<=[가-힣]{2})[의와과은는을를이가]$")


def reason_rows(edits: Sequence[Edit], language: str = "en") -> list[str]:
    """What a reader is told beside each edit, in order; the rows are numbered where there are several."""
    rows: list[str] = []
    for row, (edit, first) in enumerate(zip(edits, same_error(edits), strict=True), 1):
        reason = named(edit, language) if first is None else as_in(first + 1, language)
        rows.append(f"{row}. {reason}" if reason and len(edits) > 1 else reason)
    return rows


def as_in(row: int, language: str = "en") -> str:
    """The reference to an earlier row, which counts from 1."""
    return AS_IN.get(language, AS_IN["en"]).format(row=row)


def same_error(edits: Sequence[Edit]) -> list[int | None]:
    """For each edit the index of the first one that is the same error; None for the first of its kind.

    The same error is the same reason word for word, or the same grammar point; of points that tell of single words
    (`OF_WORDS`), the same point and the same words.
    """
    first: dict[tuple[str, ...], int] = {}
    found: list[int | None] = []
    for index, edit in enumerate(edits):
        kinds = _kinds(edit)
        earlier = min((first[kind] for kind in kinds if kind in first), default=None)
        found.append(earlier)
        for kind in kinds:
            first.setdefault(kind, index if earlier is None else earlier)
    return found


def point_of(edit: Edit) -> Point | None:
    """The grammar point of an edit; None where it has none, or one that the catalogue no longer has."""
    return None if edit.point is None else load_points().get(edit.point)


def named(edit: Edit, language: str = "en") -> str:
    """An edit's reason behind the name of its point and the words concerned, as far as these say more than the reason itself
    and all of it stays within 25 words."""
    reason = edit.reason or ""
    point = point_of(edit) if reason else None
    if point is None:
        return reason
    name = point.title(language)
    # The names of collocations are examples with other words.
    name = name if name is not None and point.area != "collocations" and _adds_to_reason(name, reason) else ""
    # A reason that quotes other words speaks of those: "discuss" takes its object directly, whatever stood between.
    words = "" if quoted_phrases(reason) or _is_marks_alone(edit) else f'"{_words(edit)}"'
    both = f"{name} ({words})" if name and words else ""
    for head in filter(None, (both, name, words)):
        if len(f"{head}: {reason}".split()) <= MOST_WORDS:
            return f"{head}: {reason}"
    return reason


def _kinds(edit: Edit) -> list[tuple[str, ...]]:
    if not edit.reason:
        return []
    point = point_of(edit)
    kinds: list[tuple[str, ...]] = [("reason", edit.reason)]
    if point is not None:
        words = (edit.was.strip().casefold(), edit.now.strip().casefold()) if point.area in OF_WORDS else ()
        kinds.append(("point", point.id, *words))
    return kinds


def _adds_to_reason(name: str, reason: str) -> bool:
    """Whether at least half of a name's words, of which there are two or more, are not in the reason."""
    folded = reason.casefold()
    words = {_KOREAN_END.sub("", word.casefold()) for word in _CONTENT.findall(name)}
    return len(words) > 1 and ": " not in name and 2 * sum(word not in folded for word in words) >= len(words)


def _is_marks_alone(edit: Edit) -> bool:
    return re.search(r"\w", edit.was + edit.now) is None


def _words(edit: Edit) -> str:
    parts = (edit.now.strip() or edit.was.strip()).replace('"', "'").split()
    return " ".join(parts if len(parts) <= _MOST_QUOTED else [*parts[:2], "…", *parts[-2:]])
