"""How true and how particular the grammar points are that explain edits, and how long one takes.

`make bench-reasons`. `benchmarks/reasons.jsonl`, `reasons_heldout.jsonl` and `reasons_frozen.jsonl` hold edits in sentences as
learners write them, the last those of the frozen evaluation set; each edit is labelled with the points that are right of it and
with points that would be false. Points were mended by the sets, so that their figures are too good by now; `reasons_notes.md`
has the first figures of each set and says what was mended when.
`--show` prints each edit whose point is false, or not labelled, with its sentence. The labels are fixed before the
measurement; a false point is mended in prompts/grammar/.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.common import ROOT, figure, write_results
from correctly_assets.core.correction import ReasonLanguage
from correctly_assets.core.types import Edit
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.correction.points.choose_point import explain

LABELLED = ROOT / "benchmarks" / "reasons.jsonl"
HELD_OUT = ROOT / "benchmarks" / "reasons_heldout.jsonl"
FROZEN = ROOT / "benchmarks" / "reasons_frozen.jsonl"
SETS = {"": LABELLED, "heldout_": HELD_OUT, "frozen_": FROZEN}
"""The sets by the beginning of their figures' names."""
ROUNDS = 3
Verdict = Literal["right", "false", "unlabelled", "general"]


@dataclass(frozen=True)
class Label:
    """What is true of one edit: points that are right, and points that would be false."""

    edit: Edit
    right: frozenset[str]
    false: frozenset[str]


@dataclass(frozen=True)
class Labelled:
    """A sentence pair with its labelled edits, in order."""

    id: str
    before: str
    after: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Judged:
    """What one edit was told, and what the labels say of it.

    Attributes:
        verdict: ``general`` where no point was told, ``unlabelled`` where the labels do not know the point.
        several: whether further points hold for the edit.
    """

    row: str
    was: str
    now: str
    point: str | None
    reason: str
    verdict: Verdict
    several: bool = False


def read_labelled(path: Path, annotator: ErrantAnnotator) -> list[Labelled]:
    """The labelled sentences; an edit's type is that of the annotator's edit which covers it."""
    rows: list[Labelled] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = annotator.edits(row["before"], row["after"])
        labels = tuple(
            Label(_typed(item, found), frozenset(item["right"]), frozenset(item["false"])) for item in row["edits"]
        )
        rows.append(Labelled(row["id"], row["before"], row["after"], labels))
    return rows


def _typed(item: dict[str, object], found: Sequence[Edit]) -> Edit:
    start, end = int(str(item["start"])), int(str(item["end"]))
    same = (each.type for each in found if (each.start, each.end) == (start, end))
    covering = (each.type for each in found if each.start <= end and start <= each.end)
    return Edit(start, end, str(item["was"]), str(item["now"]), next(same, next(covering, "R:OTHER")))


def verdict_of(label: Label, point: str | None) -> Verdict:
    """What the labels say of a point."""
    if point is None:
        return "general"
    if point in label.right:
        return "right"
    return "false" if point in label.false else "unlabelled"


def judge(rows: Sequence[Labelled], annotator: ErrantAnnotator, language: ReasonLanguage = "en") -> list[Judged]:
    """What each edit is told, and whether the labels say that it is right."""
    found: list[Judged] = []
    for row in rows:
        edits = [label.edit for label in row.labels]
        for told in explain(*annotator.docs(row.before, row.after), edits, language):
            for index in told.edit_indexes:
                edit = edits[index]
                verdict = verdict_of(row.labels[index], told.point)
                found.append(
                    Judged(row.id, edit.was, edit.now, told.point, told.reason, verdict, several=bool(told.others))
                )
    return found


def seconds_per_edit(rows: Sequence[Labelled], annotator: ErrantAnnotator) -> float:
    """Seconds that choosing takes for an edit, the sentences' parses at hand."""
    parsed = [(*annotator.docs(row.before, row.after), [label.edit for label in row.labels]) for row in rows]
    started = time.perf_counter()
    for before, after, edits in parsed:
        explain(before, after, edits)
    return (time.perf_counter() - started) / sum(len(edits) for *_, edits in parsed)


def is_whole(reason: str) -> bool:
    """Whether every slot of a sentence was filled, and with words."""
    return bool(reason) and not re.search(r"\{\w+\}|\"\s*\"|‘\s*’", reason)


def shares(judged: Sequence[Judged], korean: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """The figures of one set, in English and in Korean."""
    count = Counter(each.verdict for each in judged)
    told = len(judged) - count["general"]
    several = [each for each in judged if each.several]
    right_ko = sum(each.verdict == "right" and is_whole(each.reason) for each in korean)

    def share(part: int, of: int, **asked: Any) -> dict[str, Any]:
        return figure(100 * part / of if of else 0.0, "%", **asked)

    return {
        "edits": figure(len(judged), "edits", better="higher"),
        "with_reason": share(
            sum(bool(each.reason) for each in judged), len(judged), floor=100, goal=100, better="higher"
        ),
        "particular": share(told, len(judged), floor=80, goal=92, better="higher"),
        "right_of_particular": share(count["right"], told, better="higher"),
        "false_of_particular": share(count["false"], told, floor=5, goal=2),
        "unlabelled_of_particular": share(count["unlabelled"], told),
        "false_of_all": share(count["false"], len(judged), floor=5, goal=2),
        "several": figure(len(several), "edits", better="higher"),
        "right_first_of_several": share(
            sum(each.verdict == "right" for each in several), len(several), floor=88, goal=95, better="higher"
        ),
        "korean_whole": share(
            sum(is_whole(each.reason) for each in korean), len(korean), floor=100, goal=100, better="higher"
        ),
        "korean_right_of_particular": share(right_ko, told, better="higher"),
    }


def show(rows: Sequence[Labelled], judged: Sequence[Judged]) -> None:
    """Print the edits whose point is false or not labelled."""
    texts = {row.id: f"{row.before}  →  {row.after}" for row in rows}
    for each in judged:
        if each.verdict in ("false", "unlabelled"):
            print(f"{each.verdict} {each.point} {each.row} {each.was!r}→{each.now!r}: {each.reason}")
            print(f"    {texts[each.row]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="print the edits whose point is false or not labelled")
    parser.add_argument("--dry", action="store_true", help="write no results file")
    asked = parser.parse_args()
    annotator = ErrantAnnotator(cache_size=4096)
    figures: dict[str, dict[str, Any]] = {}
    for prefix, path in SETS.items():
        rows = read_labelled(path, annotator)
        judged = judge(rows, annotator)
        if asked.show:
            show(rows, judged)
        found = shares(judged, judge(rows, annotator, "ko"))
        if not prefix:
            times = [seconds_per_edit(rows, annotator) for _ in range(ROUNDS)]
            found["ms_per_edit"] = figure(1000 * statistics.median(times), "ms")
        figures |= {prefix + key: item for key, item in found.items()}
    if asked.dry:
        for key, item in figures.items():
            print(f"figure {key} {item['value']:g} {item['unit']}")
        return
    data = ", ".join(path.name for path in SETS.values())
    write_results("reasons", figures, rounds=ROUNDS, command="make bench-reasons", data=data)


if __name__ == "__main__":
    main()
