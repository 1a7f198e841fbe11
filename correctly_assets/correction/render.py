"""A correction as it is written down for a reader: the text, then a table of what changed and why; or in another layout.

Belongs here: Markdown, and which layouts there are. Does not belong here: terminals (cli) or HTML (evaluation/report/report.py).
"""

from __future__ import annotations

import json
import re
from typing import Literal

from correctly_assets.core.types import Correction, Edit
from correctly_assets.correction.left_alone import left_alone, unchanged_answer
from correctly_assets.correction.reason_rows import reason_rows

Layout = Literal["text", "diff", "table", "json"]
"""How an answer is laid out: the corrected text and nothing else; the text with its changes marked; the text and the table of changes;
the correction as ``/v1/corrections`` has it."""
_MARKDOWN = re.compile(r"([\\|*_`\[\]~])")


def changes_table(correction: Correction, language: str = "en") -> str:
    """The Markdown table ``| Was | Now | Why |``, one row an edit; empty text where nothing changed.

    An insertion or a deletion is shown with the word beside it, because an empty cell says nothing. Reasons are numbered
    where there are several, and an error that comes again is referred to (reason_rows.py).
    """
    if not correction.edits:
        return ""
    rows = ["| Was | Now | Why |", "| --- | --- | --- |"]
    for edit, why in zip(correction.edits, reason_rows(correction.edits, language), strict=True):
        was, now = shown(correction.before, edit)
        rows.append(f"| {_cell(was)} | {_cell(now)} | {_cell(why)} |")
    return "\n".join(rows)


def chat_answer(correction: Correction, language: str = "en") -> str:
    """The chat's answer: the corrected text, a blank line, the changes table, and a line on what was left alone; that line by
    itself where nothing changed."""
    if not correction.changed:
        return unchanged_answer(correction, language)
    return f"{correction.after}\n\n{below_the_text(correction, language)}"


def laid_out(correction: Correction, layout: Layout, language: str = "en") -> str:
    """The whole answer in a layout. Only that of people, `table`, says anything in place of a text that is not changed."""
    if layout == "text":
        return correction.after
    if layout == "diff":
        return marked(correction)
    if layout == "json":
        return json.dumps(correction.to_json(), ensure_ascii=False)
    return chat_answer(correction, language)


def marked(correction: Correction) -> str:
    """The text with each change in its place: what went is struck, what came is bold, both in Markdown."""
    pieces, position = [], 0
    for edit in sorted(correction.edits, key=lambda edit: edit.start):
        pieces += [correction.before[position : edit.start], _marked(edit)]
        position = edit.end
    return "".join(pieces) + correction.before[position:]


def _marked(edit: Edit) -> str:
    was, now = edit.was.strip(), edit.now.strip()
    # Marks stand at the words themselves, or Markdown does not take them for marks.
    around = edit.now if now else edit.was
    lead, rest = around[: len(around) - len(around.lstrip())], around[len(around.rstrip()) :]
    shown = [f"~~{was}~~"] * bool(was) + [f"**{now}**"] * bool(now)
    return f"{lead}{' '.join(shown)}{rest}" if shown else edit.now


def below_the_text(correction: Correction, language: str = "en") -> str:
    """What stands under a corrected text: the changes table, then the line that names what was left alone, if anything was."""
    parts = (changes_table(correction, language), left_alone(correction.before, correction.skipped, language))
    return "\n\n".join(part for part in parts if part)


def shown(before: str, edit: Edit) -> tuple[str, str]:
    """An edit's two sides for a reader: insertions and deletions with the word beside them."""
    was, now = edit.was.strip(), edit.now.strip()
    if was and now:
        return was, now
    left = re.search(r"\S+\s*$", before[: edit.start])
    right = re.match(r"\s*\S+", before[edit.end :])
    # Punctuation leans on the word before it, words on the one after.
    mark = not any(character.isalnum() for character in was + now)
    if left is not None and (mark or right is None):
        neighbour = left.group()
        return (neighbour + edit.was).strip(), (neighbour + edit.now).strip()
    if right is not None:
        neighbour = right.group()
        return (edit.was + neighbour).strip(), (edit.now + neighbour).strip()
    return was or "—", now or "—"


def _cell(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")
