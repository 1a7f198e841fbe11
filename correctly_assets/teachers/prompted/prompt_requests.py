"""What a prompted teacher asks: one-shot prompts from prompts/, and what its answers must look like.

Belongs here: the grid, filling the templates, the JSON schemas, reading an answer. Does not belong here: sending
(endpoint.py) or judging (ladder.py).
"""

from __future__ import annotations

import json
import random
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, TypedDict

from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.json_shapes import Json
from correctly_assets.core.prompts import fill
from correctly_assets.core.taxonomy import FORMS, TONES, Phrasing
from correctly_assets.core.types import Example, Reason
from correctly_assets.llm_api.requests import ChatRequest
from correctly_assets.teachers.embedded.sentence import load_data

LANGUAGES = {"en": "English", "ko": "Korean"}
_EDIT = {
    "type": "object",
    "properties": {"was": {"type": "string"}, "now": {"type": "string"}, "reason": {"type": "string"}},
    "required": ["was", "now", "reason"],
    "additionalProperties": False,
}
_PAIR = {
    "type": "object",
    "properties": {
        "before": {"type": "string"},
        "after": {"type": "string"},
        "edits": {"type": "array", "items": _EDIT},
    },
    "required": ["before", "after", "edits"],
    "additionalProperties": False,
}
PAIRS_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"pairs": {"type": "array", "items": _PAIR}},
    "required": ["pairs"],
    "additionalProperties": False,
}
COMPLETION_SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {"after": {"type": "string"}, "edits": {"type": "array", "items": _EDIT}},
    "required": ["after", "edits"],
    "additionalProperties": False,
}
_TOKENS_A_PAIR = 260


class Grid(TypedDict):
    """data/grid.yaml: what requests are drawn from. Levels stand with their weights, tones with their feelings."""

    levels: dict[str, float]
    first_languages: list[str]
    topics: list[str]
    emotions: dict[str, str]
    error_types: list[list[str]]


@dataclass(frozen=True, slots=True)
class Templates:
    """The two prompt files."""

    pairs: str
    complete: str

    @classmethod
    def load(cls, prompts_dir: Path) -> Templates:
        """Read them.

        Raises:
            PermanentError: a file is missing, or lacks one of its placeholders.
        """
        texts = []
        for name in ("teacher_pairs.txt", "teacher_complete.txt"):
            try:
                text = (prompts_dir / name).read_text(encoding="utf-8").strip("\n")
            except FileNotFoundError as error:
                raise PermanentError(f"The prompt file {error.filename} is missing; restore prompts/.") from error
            for placeholder in ("{form_form}", "{mapping_emotion_form_tone}", "{example_example}"):
                if placeholder not in text:
                    raise PermanentError(f"{prompts_dir / name} lacks the placeholder {placeholder}; put it back.")
            texts.append(text)
        return cls(*texts)

    @property
    def sha256(self) -> str:
        """Hash of both prompt files; part of a teacher's identity."""
        return sha256_of([self.pairs, self.complete])


def shown(example: Example) -> str:
    """An example as the one shot of a prompt: a JSON object of the shape that is asked for."""
    edits = [reason.to_json() for reason in example.reasons]
    return json.dumps({"before": example.before, "after": example.after or "", "edits": edits}, ensure_ascii=False)


class Wordings:
    """How a form and a tone are put into words: by the taxonomy tables, or by their plain names where there are none."""

    def __init__(self, phrasings: Sequence[Phrasing] = ()) -> None:
        self.cells = [(p.form, p.tone) for p in phrasings] or [(form, tone) for form in FORMS for tone in TONES]
        self._phrasings = phrasings

    def of(self, form: str | None, tone: str | None, rng: random.Random) -> tuple[str, str]:
        """(form_form, feeling) for a form and a tone.

        A form that has no such tone in the tables keeps its own words and borrows the feeling of another; a form or tone that
        they do not know stands as its name.
        """
        of_form = [p for p in self._phrasings if p.form == form]
        of_tone = [p for p in self._phrasings if p.tone == tone]
        both = [p for p in of_form if p.tone == tone]
        form_form = of_form[0].form_form if of_form else form or "any"
        chosen = rng.choice(both or of_tone) if of_tone else None
        return form_form, chosen.feeling if chosen else tone_words(tone or "neutral")


def tone_words(tone: str) -> str:
    """``annoyed`` → ``annoyed (irritation)``: the tone with the feeling behind it."""
    feeling = load_data("grid.yaml")["emotions"].get(tone)
    return f"{tone} ({feeling})" if feeling else tone


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the example that its prompt shows or completes."""

    request: ChatRequest
    example: Example
    attributes: dict[str, str]


def ask_for_pairs(
    templates: Templates,
    examples: Sequence[Example],
    *,
    model: str,
    count: int,
    batch: int,
    seed: int,
    language: str,
    phrasings: Sequence[Phrasing] = (),
) -> list[Asked]:
    """Requests for ``count`` pairs in batches, over the grid, each with another exemplar while there are more.

    What is asked with an example in a round depends on the seed, the example and the round alone, and so does its place
    among the others: an example more or less changes a few requests, and the journal answers the rest. For the same reason
    the last batch is as large as the others.

    Args:
        phrasings: the taxonomy tables, by which forms and tones are drawn and put into words.
    """
    words = Wordings(phrasings)
    grid: Grid = load_data("grid.yaml")
    shots = sorted(
        (e for e in examples if e.after and e.after != e.before), key=lambda e: (sha256_of([seed, e.id]), e.id)
    )
    wanted = min(batch, count)
    asked: list[Asked] = []
    for number in range(ceil(count / batch) if shots else 0):
        round_, place = divmod(number, len(shots))
        example = shots[place]
        drawn = sha256_of([seed, example.id, round_])
        rng = random.Random(drawn)
        cell = _draw_cell(grid, words, example, rng, own=round_ == 0)
        form_form, feeling = words.of(cell["form"], cell["tone"], rng)
        prompt = fill(
            templates.pairs,
            count=str(wanted),
            form_form=form_form,
            mapping_emotion_form_tone=feeling,
            topic=cell["topic"],
            first_language=cell["first_language"],
            level=cell["cefr"],
            error_types=cell["error_types"],
            reason_language=LANGUAGES[language],
            example_example=shown(example),
        )
        request = ChatRequest(
            model=model,
            messages=(("user", prompt),),
            max_tokens=_TOKENS_A_PAIR * wanted + 60,
            temperature=1.0,
            seed=int(drawn[:7], 16),  # 28 bits: every endpoint takes that
            schema=PAIRS_SCHEMA,
        )
        asked.append(Asked(request, example, cell))
    return asked


def _draw_cell(grid: Grid, words: Wordings, example: Example, rng: random.Random, *, own: bool) -> dict[str, str]:
    """The attributes that a request asks for.

    Args:
        own: keep the example's own form and tone where it has them, as in the first round over the examples.
    """
    form, tone = rng.choice(words.cells)
    return {
        "form": example.form if own and example.form else form,
        "tone": example.tone if own and example.tone else tone,
        "topic": rng.choice([*grid["topics"], example.topic or rng.choice(grid["topics"])]),
        "first_language": rng.choice(grid["first_languages"]),
        "cefr": rng.choices(list(grid["levels"]), list(grid["levels"].values()))[0],
        "error_types": ", ".join(rng.choice(grid["error_types"])),
    }


def ask_to_complete(
    templates: Templates,
    waiting: Sequence[Example],
    shots: Sequence[Example],
    *,
    model: str,
    language: str,
    phrasings: Sequence[Phrasing] = (),
) -> list[Asked]:
    """One request for each example that waits for its correction.

    Its shot is of its form where there is one: the next behind its own hash on the circle of the shots' hashes, so that
    another shot changes the requests of few.
    """
    complete = sorted(
        ((sha256_of(e.id), e) for e in shots if e.after and e.after != e.before),
        key=lambda entry: (entry[0], entry[1].id),
    )
    by_form: dict[str | None, list[tuple[str, Example]]] = {}
    for entry in complete:
        by_form.setdefault(entry[1].form, []).append(entry)
    words = Wordings(phrasings)
    asked = []
    for example in waiting:
        alike = by_form.get(example.form) or complete
        place = bisect(alike, sha256_of(example.id), key=lambda entry: entry[0])
        shot = alike[place % len(alike)][1] if alike else None
        form_form, feeling = words.of(example.form, example.tone or "neutral", random.Random(example.id))
        prompt = fill(
            templates.complete,
            form_form=form_form,
            mapping_emotion_form_tone=feeling,
            example_example=shown(shot) if shot else "(none)",
            reason_language=LANGUAGES[language],
            text=example.before,
        )
        request = ChatRequest(
            model=model,
            messages=(("user", prompt),),
            max_tokens=_TOKENS_A_PAIR + len(example.before),
            temperature=0.0,
            schema=COMPLETION_SCHEMA,
        )
        asked.append(Asked(request, example, {}))
    return asked


def read_json(text: str) -> Any:
    """The JSON object of an answer; servers without structured output wrap it in a fence or in words.

    Raises:
        ValueError: there is none.
    """
    first, last = text.find("{"), text.rfind("}")
    if first < 0 or last < first:
        raise ValueError("The answer holds no JSON object.")
    try:
        return json.loads(text[first : last + 1])
    except json.JSONDecodeError as error:
        raise ValueError(f"The answer is not valid JSON: {error}.") from error


def read_reasons(edits: Any) -> tuple[Reason, ...]:
    """The reasons of an answer's edits.

    Raises:
        ValueError: they are not of the schema's shape.
    """
    if not isinstance(edits, list):
        raise ValueError("The answer's edits are no list.")
    reasons = []
    for edit in edits:
        if not isinstance(edit, dict) or not all(isinstance(edit.get(key), str) for key in ("was", "now", "reason")):
            raise ValueError("An edit lacks was, now or reason.")
        reasons.append(Reason(edit["was"], edit["now"], edit["reason"]))
    return tuple(reasons)
