"""Misspelt words: which are looked up, and when the models' word is taken for one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from correctly_assets.core.ports import Completion
from correctly_assets.core.prompts import load_prompts
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.path import LEAST_SPELLING_GAIN, Corrector
from correctly_assets.correction.spelling_candidates import misspellings
from correctly_assets.settings import PROJECT_ROOT

WRONG, RIGHT = "He has an accomodation there.", "He has an accommodation there."


@pytest.fixture(scope="module")
def annotator() -> ErrantAnnotator:
    return ErrantAnnotator(cache_size=64)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (WRONG, ["accomodation"]),
        ('He wrote "recieve" and moved on.', []),
        ("He wrote ‘recieve’ and moved on.", []),
        ('He said "I recieve nothing" and left.', ["recieve"]),
        ("Some iPhones and myVariables were there.", []),
        ("We met Herr Achterberg there.", []),
    ],
)
def test_what_is_spoken_about_or_written_so_on_purpose_is_not_looked_up(annotator, text: str, found: list[str]) -> None:
    assert [wrong.word for wrong in misspellings(text, annotator.knows)] == found


class Models:
    """An engine whose adapter copies; ``base`` and ``adapter`` are by how many nats each likes `RIGHT` better."""

    def __init__(self, base: float, adapter: float) -> None:
        self.gains = {"base": base, "a": adapter}

    async def complete(self, prompt: str, **_: object) -> Completion:
        return Completion(WRONG, "stop", 9, 9, 0.1)

    async def text_logprobs(self, model: str, texts: Sequence[str], *, priority: int = 0) -> list[float]:
        return [self.gains[model] if text.endswith(RIGHT) else 0.0 if text.endswith(WRONG) else -9.0 for text in texts]


def answer(annotator: ErrantAnnotator, base: float, adapter: float) -> str:
    prompts = load_prompts(Path(PROJECT_ROOT) / "prompts")
    models = Models(base, adapter)
    corrector = Corrector(models, annotator, prompts, ranker=models, base_model="base")
    return asyncio.run(corrector.correct(WRONG, model="a", release=None, adapter="a", reasons=False)).after


@pytest.mark.parametrize(
    ("base", "adapter", "after"),
    [
        (LEAST_SPELLING_GAIN + 3, 0.0, RIGHT),
        # A term that the base model knows, or of which both together are not sure.
        (LEAST_SPELLING_GAIN - 3, 9.0, WRONG),
        (LEAST_SPELLING_GAIN + 3, -4.0, WRONG),
    ],
)
def test_a_word_is_put_right_where_the_models_find_that_likelier(
    annotator, base: float, adapter: float, after: str
) -> None:
    assert answer(annotator, base, adapter) == after
