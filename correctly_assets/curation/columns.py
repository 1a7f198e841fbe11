"""Which column of a file is which field of a row: by the names that people give them, or as a person says (`--map`).

Belongs here: names of columns. Does not belong here: reading files (readers.py, tables.py) or what a field must hold (rows.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from correctly_assets.core.errors import UsageError
from correctly_assets.curation.rows import ROW_COLUMNS

PAIRS = (
    ("input", "output"),
    ("input", "target"),
    ("source", "target"),
    ("src", "tgt"),
    ("incorrect", "correct"),
    ("incorrect", "corrected"),
    ("original", "corrected"),
    ("original", "correction"),
    ("wrong", "right"),
    ("wrong", "correct"),
    ("text", "corrected"),
    ("text", "correction"),
    ("ungrammatical", "grammatical"),
    ("prompt", "completion"),
    ("sentence", "correction"),
    ("sentence", "corrections"),
    ("sentence", "corrected"),
    ("source", "corrected"),
    ("source", "correction"),
    ("src", "trg"),
    ("error", "correction"),
    ("mistake", "correction"),
)
"""What else people call `before` and `after`. Only both together mean them: `source` alone is where a row is from."""

REMEDY = (
    "rename its columns to `before` and `after`, or name them: `correctly add --map before=COLUMN --map after=COLUMN`"
)
_OF_A_TEXT = re.compile(r"_(?:texts?|sentences?|version)$")
"""What says no more than that a column holds texts: `Original text`, `before_sentence`."""
_BLANKS = re.compile(r"[\s\-_]+")


class ColumnsUnclear(ValueError):
    """It cannot be told which column holds the text; the message is one sentence with its remedy, without the file's name."""


@dataclass(frozen=True, slots=True)
class Columns:
    """How columns are found.

    Attributes:
        named: (field, column) as a person says; every other column is found by its name.
    """

    named: tuple[tuple[str, str], ...] = ()

    def fields(self, names: Iterable[str]) -> dict[str, str]:
        """{column as the file names it: field of a row}; columns that mean nothing to a row are left out.

        Case, blanks around a name and byte-order marks do not count.

        Raises:
            ColumnsUnclear: no column, or more than one, can be `before`.
        """
        return _fields(self.named, tuple(names))

    def column_of(self, field: str, names: Iterable[str]) -> str | None:
        """The column that is read as a field; None where there is none."""
        return next((name for name, found in self.fields(names).items() if found == field), None)


def parse_map(assignments: Sequence[str]) -> Columns:
    """The columns as `--map FIELD=COLUMN` names them.

    Raises:
        UsageError: one is no FIELD=COLUMN, its field is none of a row, or a field is named twice.
    """
    named: dict[str, str] = {}
    for item in assignments:
        field, _, column = item.partition("=")
        field = plain(field)
        if not column.strip() or field not in ROW_COLUMNS:
            fields = ", ".join(sorted(ROW_COLUMNS))
            raise UsageError(f"--map takes FIELD=COLUMN, not {item!r}; fields are {fields}.")
        if field in named:
            raise UsageError(f"--map names `{field}` twice; leave one of them out.")
        named[field] = column
    return Columns(tuple(named.items()))


def plain(name: str) -> str:
    """A column's name without what does not count: case, blanks, quotation marks and byte-order marks around it."""
    folded = unicodedata.normalize("NFKC", name).replace("\ufeff", "").casefold()
    return _BLANKS.sub("_", folded.strip(" \t\r\n\"'“”‘’")).strip("_")


@lru_cache(maxsize=2000)
def _fields(named: tuple[tuple[str, str], ...], names: tuple[str, ...]) -> dict[str, str]:
    found = _as_said(named, names)
    by_plain: dict[str, list[str]] = {}
    for name in names:
        if name not in found and plain(name):
            by_plain.setdefault(plain(name), []).append(name)
    taken = set(found.values())
    if "before" not in taken and "before" not in by_plain and _pair(by_plain) == (None, None):
        by_plain = _without_text(by_plain)
    before, after = _pair(by_plain) if "before" not in taken and "before" not in by_plain else (None, None)
    for wanted, field in ((before, "before"), (after, "after")):
        if wanted is not None and field not in taken:
            [name, *more] = by_plain.pop(wanted)
            _once(wanted, more)
            found[name] = field
    for field in sorted(ROW_COLUMNS - set(found.values())):
        if columns := by_plain.get(field):
            exact = [name for name in columns if name == field]
            _once(field, columns[1:])
            found[(exact or columns)[0]] = field
    if "before" not in found.values():
        raise ColumnsUnclear(f"has no column `before`; its columns are: {_listed(names)}. To have it read, {REMEDY}.")
    return found


def _without_text(by_plain: dict[str, list[str]]) -> dict[str, list[str]]:
    """Columns by what is left of their names without the word that says that they hold texts."""
    shorter: dict[str, list[str]] = {}
    for name, columns in by_plain.items():
        shorter.setdefault(_OF_A_TEXT.sub("", name), []).extend(columns)
    return shorter


def _as_said(named: tuple[tuple[str, str], ...], names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for field, column in named:
        name = next((one for one in names if one == column), None)
        name = name or next((one for one in names if plain(one) == plain(column)), None)
        if name is None:
            raise ColumnsUnclear(
                f"has no column {column!r}, which --map names; its columns are: {_listed(names)}. Name one of these."
            )
        found[name] = field
    return found


def _pair(there: Collection[str]) -> tuple[str | None, str | None]:
    pairs = [pair for pair in PAIRS if pair[0] in there and pair[1] in there]
    if len(pairs) > 1:
        shown = ", ".join("/".join(pair) for pair in pairs)
        raise ColumnsUnclear(f"has more than one pair of columns that may be meant ({shown}). To choose, {REMEDY}.")
    return pairs[0] if pairs else (None, None)


def _once(name: str, more: Sequence[str]) -> None:
    if more:
        raise ColumnsUnclear(f"has the column `{name}` twice; rename one of them.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(str(name)[:40] for name in list(names)[:12] if str(name).strip()) or "none"
