"""British, American and Oxford spellings of the same word.

Belongs here: which spelling a variety has for a word. Does not belong here: which variety is wanted (core/house_style.py), or
putting one into a text (correction/house_wording.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TypedDict

import yaml

from correctly_assets.core.house_style import Variety

NAMES: dict[Variety, str] = {"en-GB": "British", "en-US": "American", "en-GB-oxendict": "Oxford"}


class _Stems(TypedDict):
    stems: list[str]
    endings: list[str]


class _Respelt(TypedDict):
    stems: list[str]
    endings: dict[str, str]


class _Table(TypedDict):
    """data/varieties.yaml."""

    our: _Stems
    re: _Respelt
    ise: _Stems
    yse: _Stems
    ll: _Stems
    pairs: dict[str, str]
    one_way: dict[str, str]
    either: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Spellings:
    """For each variety: a word in small letters → the variety's spelling of it."""

    of: dict[Variety, dict[str, str]]
    same: frozenset[frozenset[str]]


def spelling(word: str, variety: Variety) -> str | None:
    """The variety's spelling of a word, in the word's own case; None where the word is spelt so already, or in all varieties."""
    wanted = _spellings().of[variety].get(word.casefold())
    if wanted is None:
        return None
    return wanted.upper() if word.isupper() and len(word) > 1 else wanted.capitalize() if word[:1].isupper() else wanted


def same_word(one: str, other: str) -> bool:
    """Whether two different words are the spellings of one word in two varieties."""
    return frozenset((one.casefold(), other.casefold())) in _spellings().same


@lru_cache(maxsize=1)
def _spellings() -> _Spellings:
    data: _Table = yaml.safe_load(
        (files("correctly_assets.language") / "data" / "varieties.yaml").read_text(encoding="utf-8")
    )
    plain, ise = _plain(data), _ise(data["ise"])
    one_way = data["one_way"]
    british = {american: word for word, american in (plain | ise).items()}
    american = plain | ise | one_way | data["either"]
    oxford = {american: word for word, american in plain.items()} | ise
    same = frozenset(frozenset(pair) for pair in (plain | ise | one_way).items())
    return _Spellings({"en-GB": british, "en-US": american, "en-GB-oxendict": oxford}, same)


def _plain(data: _Table) -> dict[str, str]:
    """British → American spellings that Oxford shares with British."""
    found: dict[str, str] = {}
    for stem in data["our"]["stems"]:
        found |= {f"{stem}our{end}": f"{stem}or{end}" for end in data["our"]["endings"]}
    for stem in data["re"]["stems"]:
        found |= {stem + british: stem + american for british, american in data["re"]["endings"].items()}
    for stem in data["yse"]["stems"]:
        found |= {f"{stem}ys{end}": f"{stem}yz{end}" for end in data["yse"]["endings"]}
    for stem in data["ll"]["stems"]:
        found |= {f"{stem}l{end}": f"{stem}{end}" for end in data["ll"]["endings"]}
    return found | data["pairs"]


def _ise(table: _Stems) -> dict[str, str]:
    """British -is- → American and Oxford -iz-."""
    return {f"{stem}is{end}": f"{stem}iz{end}" for stem in table["stems"] for end in table["endings"]}
