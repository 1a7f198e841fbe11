"""How sure the model must be of an edit before it is taken over: the two ways of answering, by kind of edit.

Belongs here: the bounds as values, reading them beside an adapter, applying them. Does not belong here: an edit's probability
(confidence.py), or choosing bounds for an adapter (workflows/choose_bounds.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.correction import Mode
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.taxonomy import family
from correctly_assets.core.types import Edit
from correctly_assets.correction.confidence import is_word_choice
from correctly_assets.correction.edit_judge import Judge

FILE = "bounds.json"


class Bounds(BaseModel):
    """Least probabilities, from 0 to 1, at which an edit is taken over.

    Attributes:
        edit: for edits of a kind that is not named in ``by_type``.
        word: the same for edits that choose, bring in or drop a word of content.
        by_type: by ERRANT type without its operation, such as ``VERB:SVA``.
        alone: for the only edit that was proposed for its sentence, where that asks for more. Correct sentences are changed
            by such edits nearly always, while a learner's sentence seldom has one error alone.
        without_point: for edits that no grammar point explains, where that asks for more and the judge had to ask the base model.
            What no reason can justify is wrong more often.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edit: float = Field(default=0.55, ge=0, le=1)
    word: float = Field(default=0.95, ge=0, le=1)
    by_type: dict[str, float] = Field(default_factory=dict)
    alone: float = Field(default=0.0, ge=0, le=1)
    without_point: float = Field(default=0.0, ge=0, le=1)

    def least(self, edit: Edit, among: int = 2) -> float:
        """The bound for one edit.

        Args:
            among: edits proposed for its sentence.
        """
        own = self.by_type.get(family(edit.type))
        least = own if own is not None else self.word if is_word_choice(edit) else self.edit
        return max(least, self.alone) if among == 1 else least

    @property
    def takes_all(self) -> bool:
        """Whether no edit has to be sure, so that probabilities need not be asked for."""
        return max(self.edit, self.word, self.alone, *self.by_type.values()) <= 0


class ModeBounds(BaseModel):
    """The bounds of both ways of answering, as they stand in ``bounds.json`` beside an adapter's weights.

    Attributes:
        judge: how likely an edit is right, where that was fitted for the adapter; its own probability counts without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    careful: Bounds = Bounds()
    fluent: Bounds = Bounds(edit=0.4, word=0.6)
    judge: Judge | None = None

    def of(self, mode: Mode) -> Bounds:
        """The bounds of one way of answering."""
        return self.fluent if mode == "fluent" else self.careful


DEFAULT_BOUNDS = ModeBounds()
"""For an adapter that brings none: chosen on benchmarks/tuning.jsonl with the first adapters."""


def read_bounds(adapter_dir: Path) -> ModeBounds:
    """The bounds beside an adapter; the default ones where it brings none.

    Raises:
        PermanentError: the file is there and cannot be read.
    """
    path = adapter_dir / FILE
    return _read(path, path.stat().st_mtime_ns) if path.is_file() else DEFAULT_BOUNDS


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int) -> ModeBounds:
    try:
        return ModeBounds.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise PermanentError(
            f"{path} cannot be read ({error}); judge the adapter again, or remove the file."
        ) from error


def write_bounds(adapter_dir: Path, bounds: ModeBounds) -> None:
    """Write an adapter's bounds; they are no part of its ID."""
    write_text_atomically(adapter_dir / FILE, json.dumps(bounds.model_dump(), indent=1) + "\n")


def overridden(bounds: ModeBounds, edit: float | None, word: float | None) -> ModeBounds:
    """The bounds with a person's own (CORRECTLY_EDIT_CONFIDENCE, CORRECTLY_WORD_CONFIDENCE), which hold for `careful`."""
    if edit is None and word is None:
        return bounds
    changed: Mapping[str, float] = {k: v for k, v in (("edit", edit), ("word", word)) if v is not None}
    return ModeBounds(
        careful=Bounds(**{**bounds.careful.model_dump(exclude={"by_type", "alone"}), **changed}),
        fluent=bounds.fluent,
        judge=bounds.judge,
    )
