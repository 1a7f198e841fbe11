"""The catalogue of grammar points as data: what each file of prompts/grammar/ holds.

Belongs here: the records, reading and checking the files, filling a point's sentence. Does not belong here: whether a
point's condition holds for an edit (correction/points/), or the wording (prompts/grammar/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import PermanentError
from .korean import PARTICLES, with_particles

GRAMMAR_DIR = Path(__file__).resolve().parents[2] / "prompts" / "grammar"
GENERAL_FILE = "general.yaml"
"""The sentences of the ERRANT types, which is no area."""
MOST_WORDS = 25
_SLOT = re.compile(r"\{(\w+)\}")


class Told(BaseModel):
    """A point in one language: ``short`` has slots, ``long`` has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)
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
        when: its condition, as correction/points/conditions.py reads it; a point without one is only injected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    name: str
    level: Literal["A1", "A2", "B1", "B2", "C1", "C2"]
    when: dict[str, Any] | list[dict[str, Any]]
    en: Told
    ko: Told
    example: Pair

    def told(self, language: str) -> Told:
        """Its texts in a language.

        Raises:
            PermanentError: the catalogue has no such language.
        """
        found = {"en": self.en, "ko": self.ko}.get(language)
        if found is None:
            raise PermanentError(f"The grammar points have no reasons in {language!r}: choose en or ko.")
        return found

    def reason(self, slots: Mapping[str, str], language: str = "en") -> str:
        """The short sentence with its slots filled, and in Korean with the particles that fit."""
        return filled(self.told(language).short, slots)

    @property
    def slots(self) -> frozenset[str]:
        """The slots of its sentences, in all languages."""
        return slots_of(self.en.short) | slots_of(self.ko.short)


def filled(template: str, slots: Mapping[str, str]) -> str:
    """A template with its slots and particles filled; braces inside the values are left alone."""
    said = _SLOT.sub(lambda m: slots.get(m.group(1), m.group(0)).replace('"', "'"), template)
    return with_particles(said)


def slots_of(template: str) -> frozenset[str]:
    """The names of a template's slots, without the marks of Korean particles."""
    return frozenset(name for name in _SLOT.findall(template) if name not in PARTICLES)


def read_words(path: Path) -> Any:
    """A YAML file in which ``on``, ``off``, ``yes`` and ``no`` are words, as in YAML 1.2, and not truth values.

    Raises:
        PermanentError: the file is missing or not valid YAML.
    """
    import yaml

    class Words(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
        pass

    Words.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Words)
    except FileNotFoundError as error:
        raise PermanentError(f"The file {path} is missing; restore prompts/ from the repository.") from error
    except yaml.YAMLError as error:
        raise PermanentError(f"The file {path} is not valid YAML: {error}. Mend it there.") from error


@lru_cache(maxsize=4)
def load_points(directory: Path = GRAMMAR_DIR) -> dict[str, Point]:
    """All points by id, in the order of the files' names, read once.

    Raises:
        PermanentError: a file is missing or a point malformed; the message names file, point and remedy.
    """
    files = area_files(directory)
    if not files:
        raise PermanentError(f"No grammar points in {directory}; restore prompts/grammar/ from the repository.")
    points: dict[str, Point] = {}
    for path in files:
        rows = read_words(path)
        if not isinstance(rows, list):
            raise PermanentError(f"{path}: write a list of points, each beginning with '- id:'.")
        for number, row in enumerate(rows, 1):
            point = _point(path, number, row)
            if point.id in points:
                raise PermanentError(f"{path.name}: the point {point.id!r} is there twice; rename or delete one.")
            points[point.id] = point
    return points


def areas(directory: Path = GRAMMAR_DIR) -> dict[str, tuple[str, ...]]:
    """The ids of each area's points."""
    known = load_points(directory)
    return {
        path.stem: tuple(row["id"] for row in read_words(path) if row["id"] in known) for path in area_files(directory)
    }


def area_files(directory: Path = GRAMMAR_DIR) -> list[Path]:
    return sorted(path for path in directory.glob("*.yaml") if path.name != GENERAL_FILE)


def _point(path: Path, number: int, row: Any) -> Point:
    name = row.get("id", f"number {number}") if isinstance(row, dict) else f"number {number}"
    try:
        point = Point.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the point"
        raise PermanentError(f"{path.name}, point {name}: {where}: {first['msg']}. Mend it there.") from error
    for language in ("en", "ko"):
        told = point.told(language)
        if len(told.short.split()) > MOST_WORDS:
            raise PermanentError(f"{path.name}, point {name}: the {language} short has over {MOST_WORDS} words; cut it.")
        if "{" in told.long:
            raise PermanentError(f"{path.name}, point {name}: the {language} long has a slot; write it without.")
        wrong_marks = {m for m in re.findall(r"\{([^\w]*[가-힣][^}]*)\}", told.short) if m not in PARTICLES}
        if wrong_marks:
            raise PermanentError(f"{path.name}, point {name}: no such particle {sorted(wrong_marks)}; see core/korean.py.")
    return point
