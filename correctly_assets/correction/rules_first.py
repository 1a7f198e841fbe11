"""Harper before the model: what a rule is sure of is mended first, and the model corrects the rest.

Belongs here: the rule checker as a step of the correction path. Does not belong here: reading its lints (language/harper.py),
vetoes over what it changed, which the path applies as it does to the model's edits (path.py).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence

from correctly_assets.core.types import Edit
from correctly_assets.language.harper import apply_lints, load_linter


class HarperFirst:
    """Gives one sentence with the first suggestion of each of Harper's lints; may be called from any thread.

    Raises:
        PermanentError: harper-py is not installed.
    """

    def __init__(self) -> None:
        self._linter = load_linter()
        self._lock = threading.Lock()

    def __call__(self, sentence: str) -> str:
        with self._lock:
            return apply_lints(self._linter, sentence)


def sparing_names(text: str, edits: Sequence[Edit]) -> list[Edit]:
    """The edits but those that put another word for a capitalised one inside the sentence.

    A word list takes every name that it does not hold for a misspelling of one it does ("Sanghee", "Sanchez"); the model
    still sees the word and may mend a true slip.
    """
    return [edit for edit in edits if not _renames(text, edit)]


def _renames(text: str, edit: Edit) -> bool:
    left = edit.now.casefold()
    return any(
        word.group()[0].isupper()
        and any(character.isalnum() for character in text[: edit.start + word.start()])
        and word.group().casefold() not in left
        for word in re.finditer(r"[^\W\d_]{2,}", edit.was)
    )
