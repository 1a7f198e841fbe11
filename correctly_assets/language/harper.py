"""A rule checker's lints as a corrected text: the one reading of Harper that is measured and served.

Belongs here: loading Harper and applying its first suggestions. Does not belong here: the system under test around it
(evaluation/systems.py) or its place in the correction path (correction/rules_first.py).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from correctly_assets.core.errors import PermanentError


def load_linter() -> Any:
    """Harper's linter, made in a fraction of a second. It must not be used by two threads at once.

    Raises:
        PermanentError: harper-py is not installed.
    """
    try:
        import harper
    except ImportError as error:
        raise PermanentError("Harper is not installed; install the package harper-py.") from error
    return harper.Linter()


def linter_identity() -> dict[str, str]:
    """What decides the linter's answers; part of the identity of whatever uses it."""
    return {"version": version("harper-py"), "rule": "first suggestion"}


def apply_lints(linter: Any, text: str) -> str:
    """The text with the first suggestion of each lint, skipping lints that overlap an earlier one.

    ``REMOVE`` deletes the span, ``INSERT_AFTER`` adds behind it, ``REPLACE`` puts other words in its place.
    """
    pieces: list[str] = []
    position = 0
    for lint in sorted(linter.lint(text), key=lambda lint: (lint.span.start, lint.span.end)):
        start, end = lint.span.start, lint.span.end
        if start < position or not lint.suggestions:
            continue
        first = lint.suggestions[0]
        kind = first.kind.name
        now = "" if kind == "REMOVE" else first.replacement_text
        pieces += [text[position:start], text[start:end] + now if kind == "INSERT_AFTER" else now]
        position = end
    return "".join(pieces) + text[position:]
