"""Examples that write themselves: the teacher lands new ones over the thinnest cells of the taxonomy.

Belongs here: joining store, teacher and guards for `write_examples` and `correctly generate`. Does not belong here: the
teacher, or completing what waits (waiting.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from correctly_assets.artifacts.rejected_pairs import write_rejected
from correctly_assets.core.errors import UsageError
from correctly_assets.core.landing import ExampleGuard, LandCounts, LandRow, identified
from correctly_assets.core.ports import Refusal, Teacher, TeacherOutput, WrittenPair
from correctly_assets.core.types import Example, Reason, TrainPair
from correctly_assets.settings import Settings
from correctly_assets.store.derived import Derived
from correctly_assets.store.search import ExampleFilter
from correctly_assets.teachers.embedded.sentence import load_data
from correctly_assets.teachers.prompted.exemplars import Cell
from correctly_assets.teachers.prompted.prompted_teacher import PromptedTeacher
from correctly_assets.workflows.complete_examples import complete_waiting
from correctly_assets.workflows.land_rows import make_guards
from correctly_assets.workflows.make_teacher import make_platform_teacher

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.store.records import FormTone
    from correctly_assets.store.search import CellCount

SOURCE = "teacher"
ONLY_REPLAYS = (
    "The recorded teacher only replays answers and writes no new examples; set CORRECTLY_TEACHER=openai or embedded."
)
_PER_CELL = 3
"""Examples asked for in one request: few, since breadth is what is wanted."""
_MAX_SHOTS = 2000
"""Landed examples that a prompt's one shot, or an embedded teacher's source, is picked from."""


class PrintedCell(TypedDict):
    """How many examples landed in one cell of the taxonomy."""

    form: str
    tone: str
    landed: int


class PrintedExamples(TypedDict):
    """What ``generate --json`` prints of the new examples; money in US dollars."""

    teacher: str
    landed: int
    duplicates: int
    quarantined: int
    refused: int
    refused_by_rung: dict[str, int]
    cells: list[PrintedCell]
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Generated:
    """What a teacher landed.

    Attributes:
        teacher: who wrote: ``embedded``, or the model that answered.
        cells: {(form, tone): examples landed in it or held there}.
        refused: what the ladder or the endpoint refused.
    """

    teacher: str
    counts: LandCounts
    cells: dict[tuple[str, str], int]
    refused: tuple[Refusal, ...]
    cost_usd: float

    @property
    def message(self) -> str:
        """One sentence for whoever asked."""
        held = f", {self.counts.quarantined} of them held in quarantine" if self.counts.quarantined else ""
        paid = f" for {self.cost_usd:.4f} USD" if self.cost_usd else ""
        return (
            f"The teacher {self.teacher} landed {self.counts.landed} examples over {len(self.cells)} thin cells{held}{paid}; "
            f"{len(self.refused)} were refused, {self.counts.duplicates} were there already."
        )

    def to_json(self) -> PrintedExamples:
        """As ``generate --json`` prints it."""
        return {
            "teacher": self.teacher,
            "landed": self.counts.landed,
            "duplicates": self.counts.duplicates,
            "quarantined": self.counts.quarantined,
            "refused": len(self.refused),
            "refused_by_rung": dict(Counter(refusal.rung for refusal in self.refused)),
            "cells": [{"form": form, "tone": tone, "landed": n} for (form, tone), n in sorted(self.cells.items())],
            "cost_usd": self.cost_usd,
        }


def write_new_examples(store: Store, settings: Settings, count: int = 20) -> str:
    """What the schedule does: complete what waits, then write new examples. Returns one sentence on each.

    The recorded teacher completes what its recording holds and writes nothing new, which the sentence says.
    """
    if settings.teacher.kind == "recorded":
        return " ".join(message for message in (complete_waiting(store, settings).message, ONLY_REPLAYS) if message)
    # One teacher for both, since a budget is one teacher's.
    teacher = make_platform_teacher(settings)
    done = complete_waiting(store, settings, teacher=teacher).message, generate(store, settings, count, teacher).message
    return " ".join(message for message in done if message)


def generate(store: Store, settings: Settings, count: int, teacher: Teacher | None = None) -> Generated:
    """Have the teacher land ``count`` new examples over the thinnest cells of the taxonomy.

    The openai teacher writes texts of its own, prompted from a landed example. The embedded one has no words of its own: it
    puts other errors into landed corrected texts, so it only fills cells that hold one. Either way each new example is
    linked to the one it comes from, and goes through the same guards as a file's rows.

    Args:
        teacher: who writes; the configured one when None.

    Raises:
        UsageError: the teacher has nothing to write from, or only replays.
        RetryableError, PermanentError: the endpoint, as the teacher says.
    """
    if settings.teacher.kind == "recorded":
        raise UsageError(ONLY_REPLAYS)
    teacher = teacher or make_platform_teacher(settings)
    # Each run starts where the last one ended: other errors, other answers. One that was killed before landing repeats
    # its requests, which the journal answers.
    seed = settings.training.seed + 1000 * store.count_derived()
    if isinstance(teacher, PromptedTeacher):
        shots = [example for example in store.accepted(limit=_MAX_SHOTS) if example.after != example.before]
        cells = thinnest_cells(store.forms_and_tones(), store.count_cells(), count)
        output = teacher.write_examples(cells, shots, seed=seed)
        name = output.pairs[0].teacher if output.pairs else settings.teacher.model
    else:
        output = _derive(store, teacher, count, seed)
        name = teacher.name
    # Always: `correctly rejected` shows what fell the last time, which may be nothing.
    write_rejected(settings.platform.home / "teacher", output.refused)
    written = [_as_example(pair.pair, name) for pair in output.pairs[:count]]
    counts = _land(store, make_guards(settings.privacy), written, name)
    cells_filled = Counter((example.form or "", example.tone or "") for example, _ in written)
    return Generated(name, counts, dict(cells_filled), output.refused, output.cost_usd)


def thinnest_cells(
    taxonomy: Sequence[FormTone], counts: Iterable[CellCount], count: int, topics: Sequence[str] = ()
) -> list[Cell]:
    """Cells for ``count`` new examples, the emptiest (form, tone) first and in it the rarest topic.

    Args:
        counts: what there is; the cells chosen count as filled while choosing, so that the choice spreads.
        topics: what to write about; the teachers' grid when empty.
    """
    names = list(topics or load_data("grid.yaml")["topics"])
    by_cell: Counter[tuple[str, str]] = Counter()
    by_topic: Counter[str] = Counter()
    for there in counts:
        by_cell[there.form or "", there.tone or ""] += there.examples
        by_topic[there.topic or ""] += there.examples
    wordings: dict[tuple[str, str], list[FormTone]] = {}
    for row in taxonomy:
        wordings.setdefault((row.form, row.tone), []).append(row)
    chosen: list[Cell] = []
    left = count
    while left > 0 and wordings:
        form, tone = key = min(wordings, key=lambda cell: (by_cell[cell], cell))
        row = wordings[key][len(chosen) % len(wordings[key])]
        topic = min(names, key=lambda name: (by_topic[name], names.index(name)))
        wanted = min(_PER_CELL, left)
        chosen.append(Cell(form, tone, topic, row.form_form, row.feeling, wanted))
        by_cell[key] += wanted
        by_topic[topic] += wanted
        left -= wanted
    return chosen


def _derive(store: Store, teacher: Teacher, count: int, seed: int) -> TeacherOutput:
    """New examples out of landed corrected texts: the teacher's typed errors, put into the thinnest cells' texts."""
    filled: Counter[tuple[str, str]] = Counter()
    for there in store.count_cells():
        if there.form and there.tone:
            filled[there.form, there.tone] += there.examples
    pairs: list[WrittenPair] = []
    refused: list[Refusal] = []
    turn = 0
    while len(pairs) < count and filled:
        form, tone = key = min(filled, key=lambda cell: (filled[cell], cell))
        found = [
            row.example for row in store.find(ExampleFilter(form=form, tone=tone, status="accepted"), limit=_MAX_SHOTS)
        ]
        written_before = store.sources_of([example.id for example in found])
        # Only texts that a person landed: what was derived already would be derived from again and again.
        clean = [
            replace(example, before=example.after or "", reasons=(), reason=None)
            for example in found
            if example.after and example.id not in written_before
        ]
        wanted = min(_PER_CELL, count - len(pairs))
        # Untouched pairs are among those it writes, and no new examples; twice as many leaves enough of the others.
        output = teacher.write_pairs(clean, count=2 * wanted + 2, seed=seed + turn) if clean else TeacherOutput(())
        refused += output.refused
        known = {(pair.pair.before, pair.pair.after) for pair in pairs}
        fresh = [
            pair for pair in output.pairs
            if pair.pair.origin == "injected" and (pair.pair.before, pair.pair.after) not in known
        ][:wanted]  # fmt: skip
        pairs += fresh
        turn += 1
        filled[key] += len(fresh)
        if not fresh:
            del filled[key]
    if not pairs:
        raise UsageError(
            "The embedded teacher has no words of its own and found no corrected text with form and tone to derive from: "
            "add examples that have both, or set CORRECTLY_TEACHER=openai."
        )
    return TeacherOutput(tuple(pairs), tuple(refused))


def _as_example(pair: TrainPair, teacher: str) -> tuple[Example, str]:
    """A written pair as an example, and the id of the one it comes from."""
    reasons = tuple(
        Reason(edit.was.strip(), edit.now.strip(), edit.reason)
        for edit in pair.edits
        if edit.reason and (edit.was.strip() or edit.now.strip())
    )
    example = Example(
        id="",
        before=pair.before,
        after=pair.after,
        reasons=reasons,
        form=pair.attributes.get("form"),
        tone=pair.attributes.get("tone"),
        topic=pair.attributes.get("topic"),
        language=pair.language,
        cefr=pair.attributes.get("cefr"),
        source=f"{SOURCE}:{teacher}",
    )
    return identified(example), pair.example_id


def _land(store: Store, guards: ExampleGuard, written: Sequence[tuple[Example, str]], teacher: str) -> LandCounts:
    checked = guards.check([example for example, _ in written])
    store.link_derived(
        [
            Derived(example.id, source, teacher)
            for (example, _), (_, source) in zip(checked, written, strict=True)
        ]
    )  # fmt: skip
    return store.land(LandRow(example, held=why) for example, why in checked)
