"""A house style: what a team wants left alone, and how it wants things spelt and called.

Belongs here: the record, its JSON shape, how two of them join, which edits it leaves alone. Does not belong here: where it is kept
(workflows/house_file.py), or putting its words into a text (correction/house_wording.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from correctly_assets.core.errors import UsageError
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.taxonomy import ERRANT_TYPES, family
from correctly_assets.core.types import Edit

Variety = Literal["en-GB", "en-US", "en-GB-oxendict"]
"""British, American, and British with -ize (Oxford)."""
VARIETIES: tuple[Variety, ...] = get_args(Variety)
NAMED: dict[str, Variety] = {"british": "en-GB", "american": "en-US", "oxford": "en-GB-oxendict"}
"""What people call the varieties."""
COMMA = "COMMA"
"""An error type of our own, for edits that put in or take out commas and nothing else."""
MAX_WORDS, MAX_LENGTH = 2_000, 100
"""Most words and terms of one house style, and most code points of one."""

_PUNCTUATION = re.compile(r"[^\w\s'’-]+")


class HouseStyleJson(TypedDict):
    """The shape of ``words list --json``: variety, kept words, preferred terms and kinds of edits that are not made."""

    variety: Variety | None
    keep: list[str]
    terms: dict[str, str]
    leave: list[str]


@dataclass(frozen=True, slots=True)
class HouseStyle:
    """What holds for every answer, on top of what the model says.

    Attributes:
        variety: whose spelling is put in; the writer's own stands where None.
        keep: words and phrases that are never touched. One in small letters is meant in any case, any other in its own.
        terms: what is not to be called so → what it is called instead.
        leave: kinds of edit that are not made: ERRANT types with or without their operation (``PUNCT``, ``R:PREP``), or ``COMMA``.
    """

    variety: Variety | None = None
    keep: tuple[str, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
    leave: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.variety or self.keep or self.terms or self.leave)

    def with_(self, other: HouseStyle) -> HouseStyle:
        """Both together; where they say different things, the other holds."""
        return HouseStyle(
            other.variety or self.variety,
            tuple(dict.fromkeys((*self.keep, *other.keep))),
            tuple((dict(self.terms) | dict(other.terms)).items()),
            tuple(dict.fromkeys((*self.leave, *other.leave))),
        )

    def leaves(self, edit: Edit) -> bool:
        """Whether an edit is of a kind that is not made."""
        for kind in self.leave:
            if kind in (edit.type, family(edit.type)):
                return True
            same_words = kind in (COMMA, "PUNCT") and _without(kind, edit.was) == _without(kind, edit.now)
            if same_words and edit.was.split() != edit.now.split():
                return True
        return False

    def to_json(self) -> HouseStyleJson:
        """As ``words list --json`` shows it."""
        return {
            "variety": self.variety,
            "keep": list(self.keep),
            "terms": dict(self.terms),
            "leave": list(self.leave),
        }


NO_STYLE = HouseStyle()


def parse_house_style(value: Mapping[str, Json]) -> HouseStyle:
    """A house style of its JSON shape ``{"variety", "keep", "terms", "leave"}``, of which any may be missing.

    Raises:
        UsageError: a field is unknown, or holds what it cannot.
    """
    unknown = sorted(set(value) - {"variety", "keep", "terms", "leave"})
    if unknown:
        raise UsageError(
            f"A style has no {', '.join(unknown)}; it has variety, keep, terms and leave.", code="bad_style"
        )
    variety = _variety(value.get("variety"))
    keep = _words(value.get("keep") or [], "keep")
    terms = value.get("terms") or {}
    if not isinstance(terms, Mapping):
        raise UsageError(
            "The terms of a style are an object of what not to say and what to say instead.", code="bad_style"
        )
    wrong, right = _words(list(terms), "terms"), _words(list(terms.values()), "terms")
    leave = tuple(error_type(name) for name in _words(value.get("leave") or [], "leave"))
    return HouseStyle(variety, keep, tuple(zip(wrong, right, strict=True)), leave)


def _variety(name: Json) -> Variety | None:
    """A variety by its tag or by its name, in any case."""
    if name is None:
        return None
    known: dict[str, Variety] = {**{tag.casefold(): tag for tag in VARIETIES}, **NAMED}
    wanted = known.get(name.strip().replace("_", "-").casefold()) if isinstance(name, str) else None
    if wanted is None:
        named = ", ".join(f"{tag} ({name.capitalize()})" for name, tag in NAMED.items())
        raise UsageError(f"There is no variety {name!r}; choose {named}.", code="bad_style")
    return wanted


def error_type(name: str) -> str:
    """An error type by its ERRANT name, its plain name ("punctuation"), or ``comma``.

    Raises:
        UsageError: there is no such type.
    """
    wanted = name.strip()
    if wanted.upper() in (COMMA, "COMMAS"):
        return COMMA
    if family(wanted.upper()) in ERRANT_TYPES:
        return wanted.upper()
    for kind, plain in ERRANT_TYPES.items():
        if plain == wanted.casefold():
            return kind
    raise UsageError(
        f"There is no error type {name!r}; there are {COMMA}, {', '.join(ERRANT_TYPES)}.", code="bad_style"
    )


def _words(value: Json, field: str) -> tuple[str, ...]:
    words = [one for one in value if isinstance(one, str) and one.strip()] if isinstance(value, list) else None
    if words is None or words != value:
        raise UsageError(f"What stands under {field} in a style is a list of words or phrases.", code="bad_style")
    if len(words) > MAX_WORDS or any(len(one) > MAX_LENGTH for one in words):
        raise UsageError(
            f"A style takes at most {MAX_WORDS:,} words under {field}, of {MAX_LENGTH} characters each.",
            code="bad_style",
        )
    return tuple(" ".join(one.split()) for one in words)


def _without(kind: str, text: str) -> str:
    bare = text.replace(",", " ") if kind == COMMA else _PUNCTUATION.sub(" ", text)
    return " ".join(bare.split())
