"""What the correction path sends to an engine, caught on its way.

Belongs here: catching prompts. Does not belong here: assertions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import Prompts
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.path import Corrector


class Caught:
    """A completer that notes every prompt, answers the first with one text and each further one with nothing."""

    def __init__(self, answer: str) -> None:
        self.answer, self.prompts = answer, list[str]()

    async def complete(self, prompt: str, **_: Any) -> Completion:
        self.prompts.append(prompt)
        return Completion(self.answer if len(self.prompts) == 1 else "", "stop", 10, 5)


def prompts_sent(
    prompts: Prompts, before: str, after: str, annotator: ErrantAnnotator
) -> tuple[list[str], tuple[Edit, ...]]:
    """The prompts that the corrector sends for a sentence whose correction then is ``after``: that which asks for the
    correction, and one for each edit's reason; and these edits."""
    engine = Caught(after)
    path = Corrector(engine, annotator, prompts, model_reasons=True)
    answer = asyncio.run(path.correct(before, model="m", release=None, adapter=None))
    return engine.prompts, answer.edits
