"""The guards that every landing row passes, cheap ones first.

Belongs here: putting the guards together and saying in words why a row is held. Does not belong here: the detectors
(pii.py, profanity.py) or the form of a row (rows.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from correctly_assets.core.json_shapes import Row
from correctly_assets.core.landing import identified
from correctly_assets.core.ports import Refusal
from correctly_assets.core.types import Example, Reason
from correctly_assets.curation.pii import PersonalData, in_words
from correctly_assets.curation.profanity import Profanity

PiiMode = Literal["quarantine", "scrub", "off"]


class Guards:
    """Personal data, then profanity (core.landing.ExampleGuard).

    Args:
        pii: what happens to a row with personal data: it is held (``quarantine``), its data are replaced by
            placeholders (``scrub``), or nothing.
        profanity: whether rows with profane words are held. They are never refused: what a person writes is corrected,
            it is only kept out of training.
    """

    def __init__(
        self,
        *,
        pii: PiiMode = "quarantine",
        profanity: bool = True,
        personal_data: PersonalData | None = None,
        profane: Profanity | None = None,
    ) -> None:
        self._pii: PiiMode = pii
        self._personal_data = personal_data or PersonalData()
        self._profane = (profane or Profanity()) if profanity else None

    def check(self, examples: Sequence[Example]) -> list[tuple[Example, Refusal | None]]:
        """For each example, in order: the example (scrubbed when set so) and why it is held, if it is."""
        return [self._check(example) for example in examples]

    def _check(self, example: Example) -> tuple[Example, Refusal | None]:
        if self._pii != "off":
            kinds = {find.kind for find in self._personal_data.find("\n".join(_texts(example)))}
            if kinds and self._pii == "quarantine":
                return example, held("pii", f"It holds {in_words(kinds)}.", example)
            if kinds:
                example = self._scrubbed(example)
                # A name is known by the words around it: found in one text only, the pair would teach to write placeholders.
                if example.after is not None and _count_names(example.before) != _count_names(example.after):
                    return example, held(
                        "pii", f"It holds {in_words({'NAME'})} that was not found in both texts.", example
                    )
        if self._profane is not None and self._profane.words("\n".join(_texts(example))):
            return example, held("profanity", "It holds a profane word.", example)
        return example, None

    def _scrubbed(self, example: Example) -> Example:
        def clean(text: str | None) -> str | None:
            return self._personal_data.scrub(text) if text else text

        return identified(
            replace(
                example,
                before=clean(example.before) or "",
                after=clean(example.after),
                reason=clean(example.reason),
                reasons=tuple(
                    Reason(clean(r.was) or "", clean(r.now) or "", clean(r.reason) or "") for r in example.reasons
                ),
                topic=clean(example.topic),
                style=clean(example.style),
                speaker=clean(example.speaker),
                key_expressions=tuple(clean(text) or "" for text in example.key_expressions),
            )
        )


def make_guards(*, pii: PiiMode = "quarantine", profanity: bool = True) -> Guards:
    """The guards that every row passes before it lands."""
    return Guards(pii=pii, profanity=profanity)


def held(rung: str, reason: str, example: Example) -> Refusal:
    """Why an example is held, with the row as it would be written in a file."""
    return Refusal(rung, reason, row_of(example))


def row_of(example: Example) -> Row:
    """An example in the shape of a row (CONTRACTS), without what it does not have."""
    row: Row = {
        "before": example.before,
        "after": example.after,
        "reasons": [reason.to_json() for reason in example.reasons],
        "reason": example.reason,
        "form": example.form,
        "tone": example.tone,
        "topic": example.topic,
        "language": example.language,
        "style": example.style,
        "key_expressions": list(example.key_expressions),
        "speaker": example.speaker,
        "source": example.source,
        "cefr": example.cefr,
        "licence": example.licence,
    }
    return {name: value for name, value in row.items() if value not in (None, [])}


def _count_names(text: str) -> int:
    return text.count("<NAME>")


def _texts(example: Example) -> list[str]:
    texts = [example.before, example.after, example.reason, example.topic, example.style, example.speaker]
    texts += example.key_expressions
    for reason in example.reasons:
        texts += (reason.was, reason.now, reason.reason)
    return [text for text in texts if text]
