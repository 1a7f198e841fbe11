"""The rows of a week: good examples, a file of rows that no guard lets through, and corrections by somebody who means harm.

Belongs here: making them, always the same ones, of the correct sentences that ship. Does not belong here: sending them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from correctly_assets.settings import get_settings

_PLAIN = re.compile(r"[A-Z][a-z' ]+(?:,? [a-z' ]+)*\.")


@dataclass(frozen=True)
class Row:
    """A row as it is sent."""

    before: str
    after: str

    def to_json(self) -> dict[str, str]:
        return {"before": self.before, "after": self.after}


def correct_sentences() -> list[str]:
    """Correct sentences that ship, of one sentence without names or figures, with a definite article to lose."""
    path = get_settings().platform.starter_paths[-1]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    texts = dict.fromkeys(row["before"] for row in rows if row["before"] == row["after"])
    return [
        text
        for text in texts
        if _PLAIN.fullmatch(text) and " the " in text and 6 <= len(text.split()) <= 14 and damaged(text) != text
    ]


def damaged(text: str) -> str:
    """A sentence without its articles, and with "are" where "is" stood: wrong in a way that a reader notices."""
    for was, now in ((" the ", " "), (" a ", " "), (" is ", " are "), (" was ", " were "), (" has ", " have ")):
        text = text.replace(was, now)
    return text


@dataclass(frozen=True)
class WeekRows:
    """All rows of a week.

    Attributes:
        good: sentences and their corrections, for three ways in. reactions: such that people give as better versions.
        late: those that land on the evening on which nobody looks.
        harmful: right sentences, and what somebody who means harm says they should be.
        asked: what people ask about.
    """

    inbox: tuple[Row, ...]
    http: tuple[Row, ...]
    added: tuple[Row, ...]
    reactions: tuple[Row, ...]
    late: tuple[Row, ...]
    harmful: tuple[Row, ...]
    asked: tuple[str, ...]


def week_rows() -> WeekRows:
    """The rows of every week; no sentence stands in two groups."""
    texts: Iterator[str] = iter(correct_sentences())

    def good(count: int) -> tuple[Row, ...]:
        return tuple(Row(damaged(text), text) for text, _ in zip(texts, range(count), strict=False))

    inbox, http, added, reactions, late = good(40), good(15), good(10), good(6), good(20)
    harmful = tuple(Row(text, damaged(text)) for text, _ in zip(texts, range(100), strict=False))
    # Fewer than 200 different sentences: of so few no drift is concluded.
    asked = [row.before for row in good(30)] + [text for text, _ in zip(texts, range(30), strict=False)]
    return WeekRows(inbox, http, added, reactions, late, harmful, tuple(asked))


BAD_LINES: tuple[tuple[str, str], ...] = (
    *(("refused", line) for line in ("{", "not a row", '{"before": "He go', "[]", '"text"')),
    *(("refused", json.dumps({"after": f"There is no text before number {n}."})) for n in range(4)),
    *(
        ("held", json.dumps({"before": f"Write me at {name}@example.org please.", "after": f"Please write to me at {name}@example.org."}))
        for name in ("anna.kim", "b.lopez", "chen.wei")
    ),
    *(
        ("held", json.dumps({"before": f"The {thing} are fucking late.", "after": f"The {thing} is fucking late."}))
        for thing in ("bus", "train")
    ),
)  # fmt: skip
"""The lines of a bad file: what must become of each, and the line."""
