"""The report: what was measured, the verdict first, as JSON, as Markdown for the Dagster page, and as one HTML file.

Belongs here: choosing and arranging what is shown, and writing it. Does not belong here: measuring (score.py), how it
reads (pages.py, plots.py), the gate's decision, which is handed in.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import AdapterManifest
from correctly_assets.artifacts.reports import (
    OWN,
    AdapterReport,
    EvaluatedSet,
    ExplainedEdit,
    ExplanationCounts,
    FullReport,
    JudgeSection,
    PointsSection,
    Report,
    ReportError,
    ReportSection,
    ReviewedSystem,
    ShownSentence,
    SystemScores,
    TypeDifference,
    TypeScores,
    read_report,
    write_report_json,
)
from correctly_assets.core.evaluation import FULL
from correctly_assets.core.gate import GateDecision, Measured
from correctly_assets.core.taxonomy import ERRANT_TYPES
from correctly_assets.evaluation.metrics.point_scores import PointsOf, count_points
from correctly_assets.evaluation.metrics.score import Compared, Evaluation, compare_pair, intervals, resampler_for
from correctly_assets.evaluation.report.pages import to_html, to_markdown
from correctly_assets.evaluation.report.points_section import points_of_section
from correctly_assets.evaluation.report.stopwatch import Stopwatch

FORMAT = 1
EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report as it stands in an adapter's directory; ``sha256`` is that of report.json."""

    report: Report
    markdown: str
    json: Path
    html: Path
    sha256: str


def build_section(
    *,
    systems: Mapping[str, Evaluation],
    explained: Evaluation | None = None,
    judge: JudgeSection | None = None,
    comparator: str | None = None,
    stack: str = "model",
    points_of: PointsOf | None = None,
    rounds: int = 1000,
    seed: int = 20,
) -> ReportSection:
    """What is shown of one evaluation set.

    Args:
        systems: by the name they are shown under, in the order shown. ``candidate`` and ``base`` are there, all on one
            set; ``champion`` and ``comparator`` where there is one; others (``untouched``, ``harper``) as wanted.
        explained: the candidate's answers that were asked for with reasons, for samples of them.
        judge: the pairwise judge's summary (`judge.summarise`), None where none is configured.
        comparator: what stands in the comparator's row where it was not measured.
        stack: what the platform serves models behind (CORRECTLY_STACK); base, champion and candidate were measured so.
        points_of: finds the grammar point of each edit; nothing is counted by point without it.

    Raises:
        PermanentError: an evaluation was made on another set.
    """
    candidate = systems["candidate"]
    rival = "champion" if "champion" in systems else "base"
    draws = resampler_for(candidate, rounds=rounds, seed=seed)
    against = {name: compare_pair(candidate, other, draws) for name, other in systems.items() if name != "candidate"}
    data = candidate.data
    return ReportSection(
        data=EvaluatedSet(name=data.name, sha256=data.sha256, n=len(data.rows), small=data.small),
        scorer=candidate.scores["scorer"],
        unchecked=candidate.scores.get("unchecked"),
        comparator=comparator,
        stack=stack,
        rival=rival,
        systems={
            name: SystemScores.model_validate({**one.scores, "intervals": intervals(one, draws)})
            for name, one in systems.items()
        },
        differences={name: dict(pair.metrics) for name, pair in against.items()},
        draws=rounds,
        types_of={
            name: {row["type"]: TypeScores.model_validate(row) for row in one.types} for name, one in systems.items()
        },
        types=_types(candidate, systems[rival], against[rival]),
        points=None if points_of is None else _points(candidate, systems[rival], rival, points_of),
        better=_examples(candidate, systems[rival], 1),
        worse=_examples(candidate, systems[rival], -1),
        meddled=_meddled(candidate),
        explanations=_counts(candidate),
        explanations_of={name: counts for name, one in systems.items() if (counts := _counts(one)) is not None},
        explained=_explained(explained or candidate),
        judge=judge,
    )


def build_report(
    *,
    manifest: AdapterManifest,
    measured: Measured,
    decision: GateDecision,
    systems: Mapping[str, Evaluation],
    explained: Evaluation | None = None,
    judge: JudgeSection | None = None,
    comparator: str | None = None,
    stack: str = "model",
    points_of: PointsOf | None = None,
    rounds: int = 1000,
    seed: int = 20,
) -> AdapterReport:
    """Everything the report shows; ``measured`` stands in it so that any later gate decides from the same.

    Args:
        manifest: of the adapter; ``id`` and what it was built from. The others: see `build_section`.

    Raises:
        PermanentError: an evaluation was made on another set.
    """
    section = build_section(
        systems=systems,
        explained=explained,
        judge=judge,
        comparator=comparator,
        stack=stack,
        points_of=points_of,
        rounds=rounds,
        seed=seed,
    )
    return AdapterReport(
        format=FORMAT,
        adapter=manifest.id,
        verdict="promote" if decision.promote else "refuse",
        reasons=list(decision.reasons),
        measured=measured,
        provenance=provenance(manifest),
        **dict(section),
    )


def build_full_report(
    *, manifest: AdapterManifest, report: AdapterReport, sections: Sequence[ReportSection]
) -> FullReport:
    """Every system on every set, under the verdict of the adapter's own report, which a full report never changes.

    Args:
        report: the adapter's own. sections: `build_section`'s, the frozen set's first.
    """
    return FullReport(
        format=FORMAT,
        adapter=report.adapter,
        verdict=report.verdict,
        reasons=report.reasons,
        sets=list(sections),
        provenance=provenance(manifest),
    )


def write_report(
    directory: Path,
    *,
    manifest: AdapterManifest,
    measured: Measured,
    decision: GateDecision,
    systems: Mapping[str, Evaluation],
    explained: Evaluation | None = None,
    judge: JudgeSection | None = None,
    comparator: str | None = None,
    stack: str = "model",
    points_of: PointsOf | None = None,
    reviews: Sequence[ReviewedSystem] = (),
    shadow: str | None = None,
) -> WrittenReport:
    """Build the report and write ``report.html`` and ``report.json`` into an adapter's directory, each in one step.

    Args:
        reviews: what people's reviews come to so far (`core.review.summarise`). shadow: see `to_html`. The others: see
            `build_report`.
    """
    report = build_report(
        manifest=manifest,
        measured=measured,
        decision=decision,
        systems=systems,
        explained=explained,
        judge=judge,
        comparator=comparator,
        stack=stack,
        points_of=points_of,
    )
    return write_pages(directory, report, reviews=reviews, shadow=shadow)


def show_reviews(directory: Path, reviews: Sequence[ReviewedSystem], shadow: str | None = None) -> None:
    """Write the pages of an adapter's reports anew with the reviews and the real requests there were since; their JSON, what was measured, stays as
    it is. A report that is not there, or cannot be read, is left alone."""
    for kind, name in ((AdapterReport, OWN), (FullReport, FULL)):
        with contextlib.suppress(ReportError):
            _write_page(directory / f"{name}.html", read_report(directory, kind, name), reviews, shadow=shadow)


def write_pages(
    directory: Path,
    report: Report,
    name: str = OWN,
    watch: Stopwatch | None = None,
    *,
    reviews: Sequence[ReviewedSystem] = (),
    shadow: str | None = None,
) -> WrittenReport:
    """Write a report as ``NAME.html`` and ``NAME.json``, each in one step.

    The JSON is what was measured; what people said of it so far stands on the page alone (`show_reviews`).

    Args:
        watch: what the report took so far; its figures stand under ``seconds`` in the JSON, plots and page included.
    """
    html_path = directory / f"{name}.html"
    clock = watch or Stopwatch()
    with clock.on("page"):
        _write_page(html_path, report, reviews, clock, shadow)
        markdown = to_markdown(report, reviews, shadow=shadow)
    if watch is not None:
        report.seconds = watch.figures()
    # The JSON last: where it stands, the page stands too.
    text = write_report_json(directory, report, name)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return WrittenReport(report, markdown, directory / f"{name}.json", html_path, sha256)


def _write_page(
    path: Path,
    report: Report,
    reviews: Sequence[ReviewedSystem],
    watch: Stopwatch | None = None,
    shadow: str | None = None,
) -> None:
    write_text_atomically(path, to_html(report, reviews, watch, shadow))
    path.chmod(0o644)


def main_figures(report: Report) -> dict[str, float]:
    """Plain floats of the first set, for pages that plot over time and for the ledger."""
    section = report.sections[0]
    scores = section.systems["candidate"]
    names = ("gleu", "errant_p", "errant_r", "errant_f05", "overcorrected", "missed", "unchanged", "run_on", "p50_ms")
    found = {name: float(value) for name in names if (value := getattr(scores, name)) is not None}
    for metric in ("gleu", "errant_f05"):
        found[f"{metric}_minus_{section.rival}"] = float(section.differences[section.rival][metric].point)
    explained = section.explanations
    if explained is not None and explained.edits:
        found["model_reasons"] = 100 * explained.model_reasons / explained.edits
    return found


_BUILT_FROM = (
    "base_model", "train_set", "examples_snapshot", "data_sha256", "prompt_sha256", "chat_family", "code_version", "seed",
    "recipe", "figures",
)  # fmt: skip


def provenance(manifest: AdapterManifest) -> dict[str, str]:
    """What the adapter was built from, flat and in words; every other part is in the manifest beside the report."""
    shown: dict[str, str] = {}

    def add(name: str, value: Any, depth: int) -> None:
        if isinstance(value, Mapping):
            for key, item in sorted(value.items()) if depth < 2 else ():
                add(f"{name} {key}".replace("_", " "), item, depth + 1)
        elif isinstance(value, str | int | float):
            shown[name] = f"{value:.4g}" if isinstance(value, float) else str(value)

    stands = manifest.model_dump(mode="json", exclude_unset=True)
    for key in _BUILT_FROM:
        add(key.replace("_", " "), stands.get(key), 0)
    return shown


def _counts(evaluation: Evaluation) -> ExplanationCounts | None:
    counts = evaluation.scores.get("explanations")
    return None if counts is None else ExplanationCounts.model_validate(counts)


def _types(candidate: Evaluation, rival: Evaluation, pair: Compared) -> list[TypeDifference]:
    of_candidate = {row["type"]: row for row in candidate.types}
    of_rival = {row["type"]: row for row in rival.types}
    rows: list[TypeDifference] = []
    for kind, (edits, difference) in pair.types.items():
        if not edits:
            continue
        scores = [of[kind]["f05"] if kind in of else 0.0 for of in (of_candidate, of_rival)]
        name = ERRANT_TYPES.get(kind, kind)
        rows.append(
            TypeDifference(
                type=kind, name=name, edits=edits, candidate=scores[0], other=scores[1], difference=difference
            )
        )
    return sorted(rows, key=lambda row: (-row.edits, row.type))


def _points(candidate: Evaluation, other: Evaluation, rival: str, points_of: PointsOf) -> PointsSection:
    of_candidate, of_rival = (
        count_points(one.data, one.answers.corrections, map(int, one.statistics.best), points_of)
        for one in (candidate, other)
    )
    return points_of_section(rival, of_candidate, of_rival)


def _examples(candidate: Evaluation, rival: Evaluation, sign: int) -> list[ShownSentence]:
    """The sentences whose GLEU changed most in one direction, where the two answers differ."""
    deltas = sign * (candidate.statistics.sentence_gleu - rival.statistics.sentence_gleu)
    found: list[ShownSentence] = []
    for index in sorted(range(len(deltas)), key=lambda index: (-float(deltas[index]), index)):
        of_candidate, of_rival = candidate.answers.corrections[index], rival.answers.corrections[index]
        if deltas[index] <= 0 or len(found) == EXAMPLES:
            break
        row = candidate.data.rows[index]
        found.append(
            ShownSentence(
                source=row.source,
                candidate=of_candidate.after,
                other=of_rival.after,
                reference=row.references[0],
                row=index + 1,
                points=round(float(deltas[index]), 1),
                fallback=of_candidate.fallback,
            )
        )
    return found


def _meddled(candidate: Evaluation) -> list[ShownSentence]:
    """Correct sentences that the candidate changed."""
    flags = candidate.statistics.clean & candidate.statistics.changed
    rows = [(index, candidate.answers.corrections[index].after) for index in range(len(flags)) if flags[index]]
    return [
        ShownSentence(source=candidate.data.rows[index].source, candidate=after, row=index + 1)
        for index, after in rows[:EXAMPLES]
    ]


def _explained(candidate: Evaluation) -> list[ExplainedEdit]:
    """Some edits with their reasons, one a sentence."""
    found: list[ExplainedEdit] = []
    for correction in candidate.answers.corrections:
        for edit in correction.edits[:1]:
            if edit.reason and len(found) < EXAMPLES:
                found.append(ExplainedEdit.model_validate({"before": correction.before, **edit.to_json()}))
    return found
