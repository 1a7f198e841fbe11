"""The catalogue of grammar points as data: what each file of prompts/grammar/ holds.

Belongs here: the records, reading and checking the files, filling a point's sentence. Does not belong here: whether a
point's condition holds for an edit (correction/points/), or the wording (prompts/grammar/). A further
reason language is a folder beside the areas, with one file for each (`_others`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.json_shapes import Json
from correctly_assets.language.korean import PARTICLES, with_particles
from correctly_assets.settings import shipped

GRAMMAR_DIR = shipped("prompts") / "grammar"
GENERAL_FILE = "general.yaml"
"""The sentences of the ERRANT types, which is no area."""
MOST_WORDS = 25
_SLOT = re.compile(r"\{(\w+)\}")
_QUOTED = re.compile(r'"([^"]*)"')


class PointText(BaseModel):
    """A point in one language: ``short`` has slots, ``long`` has none. English has its ``name`` in the point itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str | None = None
    short: str = Field(min_length=5)
    long: str = Field(min_length=20)


class Pair(BaseModel):
    """An example sentence, wrong and right."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    wrong: str
    right: str


class Point(BaseModel):
    """One grammar point.

    Attributes:
        when: its condition, as correction/points/conditions.py reads it.
        others: its texts in further languages, from prompts/grammar/LANGUAGE/.
        area: the file that it stands in, without its ending.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str
    level: Literal["A1", "A2", "B1", "B2", "C1", "C2"]
    when: dict[str, JsonValue] | list[dict[str, JsonValue]]
    en: PointText
    ko: PointText
    example: Pair
    others: dict[str, PointText] = Field(default_factory=dict)
    area: str = ""

    def wording(self, language: str) -> PointText:
        """Its texts in a language.

        Raises:
            PermanentError: the catalogue has no such language.
        """
        found = {"en": self.en, "ko": self.ko, **self.others}.get(language)
        if found is None:
            known = ", ".join(("en", "ko", *self.others))
            raise PermanentError(f"The grammar points have no reasons in {language!r}: choose one of {known}.")
        return found

    def title(self, language: str = "en") -> str | None:
        """Its name in a language; None where it has none there."""
        return self.name if language == "en" else self.wording(language).name

    def reason(self, slots: Mapping[str, str], language: str = "en") -> str:
        """The short sentence with its slots filled, and in Korean with the particles that fit."""
        return filled(self.wording(language).short, slots)

    def translated(self, sentence: str, language: str) -> str | None:
        """The sentence of this point in another language, with the words that are quoted in it.

        Returns:
            None where it is no sentence of this point, or the other language wants words that it does not quote.
        """
        for wording in (self.en, self.ko, *self.others.values()):
            names, words = (_QUOTED.findall(text) for text in (wording.short, sentence))
            if _bare(wording.short) != _bare(sentence) or len(names) != len(words):
                continue
            slots = {name[1:-1]: word for name, word in zip(names, words, strict=True) if _SLOT.fullmatch(name)}
            wanted = self.wording(language).short
            return filled(wanted, slots) if slots_of(wanted) <= slots.keys() else None
        return None

    @property
    def slots(self) -> frozenset[str]:
        """The slots of its sentences, in all languages."""
        return frozenset().union(*(slots_of(wording.short) for wording in (self.en, self.ko, *self.others.values())))


def filled(template: str, slots: Mapping[str, str]) -> str:
    """A template with its slots and particles filled; braces inside the values are left alone."""
    said = _SLOT.sub(lambda m: slots.get(m.group(1), m.group(0)).replace('"', "'"), template)
    return with_particles(said)


def slots_of(template: str) -> frozenset[str]:
    """The names of a template's slots, without the marks of Korean particles."""
    return frozenset(name for name in _SLOT.findall(template) if name not in PARTICLES)


def _bare(sentence: str) -> str:
    """A sentence, or its template, without what is quoted and the Korean particle behind a quotation."""
    return re.sub(r'"[^"]*"(?:\{[가-힣]+\}|[가-힣]+)?', '""', sentence)


def point_told(sentence: str) -> Point | None:
    """The point that a reason tells of, by the name that stands before a colon or by its own words; None where no point, or
    more than one, is told so."""
    by_name, by_words = _told_by()
    found = by_words.get(_bare(sentence))
    for colon in re.finditer(r'(?: \("[^"]*"\))?: ', sentence):
        found = found or by_name.get(sentence[: colon.start()]) or by_words.get(_bare(sentence[colon.end() :]))
    return found


@lru_cache(maxsize=1)
def _told_by() -> tuple[dict[str, Point | None], dict[str, Point | None]]:
    by_name: dict[str, Point | None] = {}
    by_words: dict[str, Point | None] = {}
    for point in load_points().values():
        for language in languages():
            words = _bare(point.wording(language).short)
            by_words[words] = None if words in by_words else point
            if (name := point.title(language)) is not None:
                by_name[name] = None if by_name.get(name, point) != point else point
    return by_name, by_words


def read_words(path: Path) -> Any:
    """A YAML file in which ``on``, ``off``, ``yes`` and ``no`` are words, as in YAML 1.2, and not truth values.

    Raises:
        PermanentError: the file is missing or not valid YAML.
    """

    class Words(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
        pass

    Words.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Words)  # noqa: S506 - Words is a SafeLoader, over files of ours
    except FileNotFoundError as error:
        raise PermanentError(f"The file {path} is missing; restore prompts/ from the repository.") from error
    except yaml.YAMLError as error:
        raise PermanentError(f"The file {path} is not valid YAML: {error}. Mend it there.") from error


def languages(directory: Path = GRAMMAR_DIR) -> tuple[str, ...]:
    """The languages that reasons are told in: English and Korean, and one for each folder of the catalogue."""
    return ("en", "ko", *sorted(path.name for path in directory.iterdir() if path.is_dir()))


def load_points(directory: Path = GRAMMAR_DIR) -> dict[str, Point]:
    """All points by ID, in the order of the files' names, read once.

    Raises:
        PermanentError: a file is missing or a point malformed; the message names file, point and remedy.
    """
    return {point.id: point for points in _read(directory).values() for point in points}


def areas(directory: Path = GRAMMAR_DIR) -> dict[str, tuple[str, ...]]:
    """The IDs of each area's points, in the order of the files.

    Raises:
        PermanentError: as `load_points`.
    """
    return {area: tuple(point.id for point in points) for area, points in _read(directory).items()}


@lru_cache(maxsize=4)
def _read(directory: Path) -> dict[str, tuple[Point, ...]]:
    files = sorted(path for path in directory.glob("*.yaml") if path.name != GENERAL_FILE)
    if not files:
        raise PermanentError(f"No grammar points in {directory}; restore prompts/grammar/ from the repository.")
    found: dict[str, tuple[Point, ...]] = {}
    seen: set[str] = set()
    for path in files:
        rows = read_words(path)
        if not isinstance(rows, list):
            raise PermanentError(f"{path}: write a list of points, each beginning with '- id:'.")
        others = _others(directory, path.name)
        found[path.stem] = tuple(_point(path, number, row, others) for number, row in enumerate(rows, 1))
        for point in found[path.stem]:
            if point.id in seen:
                raise PermanentError(f"{path.name}: the point {point.id!r} is there twice; rename or delete one.")
            seen.add(point.id)
    return found


def _others(directory: Path, name: str) -> dict[str, dict[str, Json]]:
    """What the area's file of each further language says of its points: ``{language: {ID: {short, long}}}``."""
    found: dict[str, dict[str, Json]] = {}
    for language in languages(directory):
        if language in ("en", "ko"):
            continue
        path = directory / language / name
        if not path.is_file():
            raise PermanentError(f"{language}/{name} is missing; write it with short and long of each point of {name}.")
        found[language] = read_words(path) or {}
    return found


def _point(path: Path, number: int, row: Any, others: Mapping[str, Mapping[str, Json]]) -> Point:
    name = row.get("id", f"number {number}") if isinstance(row, dict) else f"number {number}"
    for language, texts in others.items():
        if name not in texts:
            raise PermanentError(f"{language}/{path.name} has no texts for the point {name}; add short and long.")
    try:
        further = {language: texts[name] for language, texts in others.items()}
        point = Point.model_validate({**row, "others": further, "area": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the point"
        raise PermanentError(f"{path.name}, point {name}: {where}: {first['msg']}. Mend it there.") from error
    for language in ("en", "ko", *others):
        wording = point.wording(language)
        if len(wording.short.split()) > MOST_WORDS:
            raise PermanentError(
                f"{path.name}, point {name}: the {language} short has over {MOST_WORDS} words; cut it."
            )
        if "{" in wording.long:
            raise PermanentError(f"{path.name}, point {name}: the {language} long has a slot; write it without.")
        unknown = set(re.findall(r"\{([가-힣]+)\}", wording.short)) - PARTICLES
        if unknown:
            raise PermanentError(
                f"{path.name}, point {name}: no such particle {sorted(unknown)}; see language/korean.py."
            )
    return point
