"""One door to the teachers, by kind and plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..core.errors import UsageError
from ..core.ports import Annotator, Teacher


def make_teacher(
    kind: str,
    *,
    prompts_dir: Path,
    reason_language: str = "en",
    first_languages: Sequence[str] = (),
    annotator: Annotator | None = None,
    evaluation: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Teacher:
    """The teacher of a kind.

    Args:
        kind: ``embedded``, ``openai`` or ``recorded``.
        evaluation: every evaluation set's texts, which no pair may show.

    Raises:
        UsageError: no such kind.
        PermanentError: a prompt file is missing.
    """
    from .embedded import EmbeddedTeacher
    from .ladder import Ladder

    if kind == "embedded":
        return EmbeddedTeacher(
            prompts_dir=prompts_dir,
            reason_language=reason_language,
            first_languages=first_languages,
            annotator=annotator,
            ladder=Ladder(evaluation),
            progress=progress,
        )
    raise UsageError(f"No teacher named {kind!r}: choose embedded, openai or recorded.")
