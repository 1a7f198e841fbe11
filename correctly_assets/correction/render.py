"""A correction as people read it in a chat: the text, then a table of what changed and why.

Belongs here: Markdown. Does not belong here: terminals (cli) or HTML (evaluation/report/report.py).
"""

from __future__ import annotations

import re

from correctly_assets.core.types import Correction, Edit

NOTHING_TO_CHANGE = {
    "en": "This already reads naturally; nothing to change.",
    "ko": "이미 자연스러운 문장이라 고칠 것이 없습니다.",
}
NOT_CHANGED = {
    "en": "I could not find a safe correction, so your text stands as you wrote it.",
    "ko": "안전하게 고칠 방법을 찾지 못해 원문을 그대로 두었습니다.",
}
_MARKDOWN = re.compile(r"([\\|*_`\[\]~])")


def changes_table(correction: Correction) -> str:
    """The Markdown table ``| Was | Now | Why |``, one row an edit; empty text where nothing changed.

    An insertion or a deletion is shown with the word beside it, because an empty cell says nothing.
    """
    if not correction.edits:
        return ""
    rows = ["| Was | Now | Why |", "| --- | --- | --- |"]
    for edit in correction.edits:
        was, now = shown(correction.before, edit)
        rows.append(f"| {_cell(was)} | {_cell(now)} | {_cell(edit.reason or '')} |")
    return "\n".join(rows)


def chat_answer(correction: Correction, language: str = "en") -> str:
    """The chat's answer: the corrected text, a blank line, the changes table; one line where nothing is to change."""
    if not correction.changed:
        return (NOT_CHANGED if correction.fallback else NOTHING_TO_CHANGE).get(language, NOTHING_TO_CHANGE["en"])
    return f"{correction.after}\n\n{changes_table(correction)}"


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
        beside = left.group()
        return (beside + edit.was).strip(), (beside + edit.now).strip()
    if right is not None:
        beside = right.group()
        return (edit.was + beside).strip(), (edit.now + beside).strip()
    return was or "—", now or "—"


def _cell(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("<", "&lt;").replace(">", "&gt;")
