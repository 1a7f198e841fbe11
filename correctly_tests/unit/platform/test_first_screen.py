"""What a person reads first: Before, After and Why."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from correctly_assets.platform.first_screen import print_corrections

REASON = '"suggested" is followed by "that" and a clause.'


def edit(was: str, now: str, reason: str | None) -> dict[str, Any]:
    return {"was": was, "now": now, "reason": reason}


def shown(*edits: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    item = {"before": "She suggested me to go.", "after": "She suggested I go.", "changed": True, "fallback": None}
    print_corrections([item | {"edits": list(edits)}], console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_edits_that_share_a_reason_are_told_it_once() -> None:
    text = shown(edit("me", "I", REASON), edit("to ", "", REASON), edit("go", "goes", "Another."))
    assert f"Why     me → I, to → ∅: {REASON}" in text
    assert text.count(REASON) == 1 and "Why     go → goes: Another." in text


def test_an_edit_without_a_reason_is_shown_alone() -> None:
    assert "Why     go → goes\n" in shown(edit("go", "goes", None))
