"""Which landed example a prompt shows, and asking for new texts in a cell of the taxonomy.

Belongs here: picking the one shot by nearest neighbours, and the requests that depend on it. Does not belong here: the
index itself (curation/vector_search.py, joined in workflows/), sending or judging.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from correctly_assets.core.prompts import fill
from correctly_assets.core.taxonomy import Phrasing
from correctly_assets.core.types import Example
from correctly_assets.llm_api.requests import ChatRequest
from correctly_assets.teachers.embedded.sentence import load_data
from correctly_assets.teachers.prompted.prompt_requests import (
    LANGUAGES,
    PAIRS_SCHEMA,
    Asked,
    Templates,
    ask_to_complete,
    shown,
)

_TOKENS_A_PAIR = 260
_NEAR = 3
"""Examples that a cell's shot is drawn from, so that not every prompt of a topic shows the same one."""


class Neighbour(Protocol):
    """What a search answers with."""

    @property
    def id(self) -> str:
        """ID of the example that is near."""
        ...


class Exemplars(Protocol):
    """Finds the texts most like a text (curation/vector_search.py)."""

    @property
    def name(self) -> str:
        """What measures nearness; part of a teacher's identity."""
        ...

    def add(self, items: Iterable[tuple[str, str]]) -> None:
        """Add (example ID, text) to the index."""
        ...

    def nearest(self, text: str, k: int = 1) -> Sequence[Neighbour]:
        """The ``k`` examples nearest to a text, nearest first."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the taxonomy for which new examples are wanted.

    Attributes:
        form_form, wording: what prompts put in place of {form_form} and {mapping_emotion_form_tone}.
        wanted: how many examples to ask for.
    """

    form: str
    tone: str
    topic: str
    form_form: str
    wording: str
    wanted: int = 1


def ask_for_cell(
    templates: Templates,
    cell: Cell,
    shots: Sequence[Example],
    *,
    model: str,
    language: str,
    seed: int,
    exemplars: Callable[[], Exemplars] | None = None,
) -> Asked:
    """A request for new texts in a cell, shown a corrected example of its form that is like its topic.

    Args:
        shots: corrected examples, at least one.
        language: of the reasons.
        exemplars: makes an index; without one the shot is drawn by chance.
    """
    grid = load_data("grid.yaml")
    rng = random.Random(seed)
    alike = [example for example in shots if example.form == cell.form] or list(shots)
    if exemplars is not None:
        index = exemplars()
        index.add((example.id, f"{example.topic or ''} {example.before}") for example in alike)
        near = {hit.id for hit in index.nearest(cell.topic, _NEAR)}
        alike = [example for example in alike if example.id in near]
    example = rng.choice(alike)
    learner = {
        "form": cell.form,
        "tone": cell.tone,
        "topic": cell.topic,
        "first_language": rng.choice(grid["first_languages"]),
        "cefr": rng.choices(list(grid["levels"]), list(grid["levels"].values()))[0],
        "error_types": ", ".join(rng.choice(grid["error_types"])),
    }
    prompt = fill(
        templates.pairs,
        count=str(cell.wanted),
        form_form=cell.form_form,
        mapping_emotion_form_tone=cell.wording,
        topic=cell.topic,
        first_language=learner["first_language"],
        level=learner["cefr"],
        error_types=learner["error_types"],
        reason_language=LANGUAGES[language],
        example_example=shown(example),
    )
    request = ChatRequest(
        model=model,
        messages=(("user", prompt),),
        max_tokens=_TOKENS_A_PAIR * cell.wanted + 60,
        temperature=1.0,
        seed=seed,
        schema=PAIRS_SCHEMA,
    )
    return Asked(request, example, learner)


def ask_to_complete_like(
    templates: Templates,
    waiting: Sequence[Example],
    shots: Sequence[Example],
    *,
    model: str,
    language: str,
    exemplars: Callable[[], Exemplars],
    phrasings: Sequence[Phrasing] = (),
) -> list[Asked]:
    """One request for each example that waits, shown the corrected example that is most like it."""
    corrected = {e.id: e for e in shots if e.after and e.after != e.before}
    index = exemplars()
    index.add((id, corrected[id].before) for id in sorted(corrected))
    asked: list[Asked] = []
    for example in waiting:
        near = [corrected[hit.id] for hit in index.nearest(example.before, 2) if hit.id != example.id]
        asked += ask_to_complete(templates, [example], near[:1], model=model, language=language, phrasings=phrasings)
    return asked
