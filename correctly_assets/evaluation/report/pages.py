"""How a report reads: Markdown for the Dagster page, and one self-contained HTML file.

Belongs here: wording and arrangement. Does not belong here: what is in the report (report.py), pictures (plots.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup, escape

from correctly_assets.artifacts.reports import ExplanationCounts, Report, ReportSection, ReviewedSystem
from correctly_assets.evaluation.report.judge_section import (
    Row,
    about_the_judge,
    questions_lines,
    questions_rows,
    reasons_rows,
)
from correctly_assets.evaluation.report.plots import cost_plot, scores_plot, types_plot
from correctly_assets.evaluation.report.points_section import badly_served, points_head, points_lines, points_rows
from correctly_assets.evaluation.report.report_wording import cell, clear, number, signed, span
from correctly_assets.evaluation.report.review_section import reviewed_html, reviewed_lines
from correctly_assets.evaluation.report.stopwatch import Stopwatch

TEMPLATE = Path(__file__).with_name("report.html.j2")
STACKS = {
    "harper-then-model": " Base, champion and candidate answered behind Harper's rules, as they are served "
    "(CORRECTLY_STACK=harper-then-model); candidate-alone is CORRECTLY_STACK=model.",
    "model": " Models answered alone, as they are served; harper-then-candidate, where it is measured, is served with "
    "CORRECTLY_STACK=harper-then-model.",
}
EXPLAINED = ("System", "edits", "with a reason", "written by the model", "stray reasons", "quoted words occur")
BESIDE = "Beside the champion on real requests"
NO_COMPARATOR = "not recorded; run `correctly record --model MODEL` to record a large model's answers once"


def to_markdown(
    report: Report, reviews: Sequence[ReviewedSystem] = (), examples: int = 5, shadow: str | None = None
) -> str:
    """The page in the Dagster UI: verdict, systems, types, examples, restraint, explanations, provenance."""
    lines = [f"## {headline(report)}", "", *(f"- {reason}" for reason in report.reasons), ""]
    for section in report.sections:
        lines += [f"## {cell(section.data.name)}", ""] if len(report.sections) > 1 else []
        lines += _section_lines(section, examples)
    lines += reviewed_lines(report.adapter, reviews)
    lines += [f"### {BESIDE}", "", cell(shadow), ""] if shadow else []
    lines += ["### Built from", "", *(f"- {key}: `{value}`" for key, value in report.provenance.items())]
    return "\n".join(lines) + "\n"


def _section_lines(section: ReportSection, examples: int) -> list[str]:
    return [
        _about_the_set(section),
        "",
        *_system_lines(section),
        "",
        "▲ the candidate is better with its whole interval, ▼ worse, ≈ neither can be said.",
        "",
        *_type_lines(section),
        *points_lines(section),
        *_sentence_lines(section, examples),
        "",
        "### Explanations",
        "",
        _about_explanations(section),
        *_explanation_lines(section),
        "",
        "### Cost",
        "",
        *_cost_lines(section),
        "",
        "### Judge",
        "",
        about_the_judge(section.judge),
        "",
        *questions_lines(section.judge),
    ]


def _system_lines(section: ReportSection) -> list[str]:
    """The table of systems: scores with intervals, and how far the candidate is ahead of each."""
    lines = [
        "| System | GLEU | F0.5 | P | R | candidate minus it, F0.5 | correct changed | missed | ran on |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, scores in section.systems.items():
        bold = "**" if name == "candidate" else ""
        spans = scores.intervals
        to_it = section.differences.get(name, {}).get("errant_f05")
        versus = f"{signed(to_it)} {clear(to_it)}" if to_it else "–"
        lines.append(
            f"| {bold}{cell(name)}{bold} | {span(spans['gleu'])} | {span(spans['errant_f05'])} "
            f"| {scores.errant_p:.1f} | {scores.errant_r:.1f} "
            f"| {versus} | {number(scores.overcorrected)} % | {number(scores.missed)} % | {scores.run_on:.1f} % |"
        )
    if "comparator" not in section.systems:
        lines.append(f"| comparator | {cell(section.comparator or NO_COMPARATOR)} | | | | | | | |")
    return lines


def _type_lines(section: ReportSection) -> list[str]:
    """The table of error types, candidate against its rival (F0.5 of each type)."""
    rival = cell(section.rival)
    lines = [
        f"### Error types, against {rival}",
        "",
        f"| Type | edits | candidate | {rival} | difference |",
        "| --- | --: | --: | --: | --: |",
    ]
    for row in section.types[:12]:
        difference = f"{signed(row.difference)} {clear(row.difference)}"
        lines.append(f"| {row.name} | {row.edits} | {row.candidate:.0f} | {row.other:.0f} | {difference} |")
    return lines


def _sentence_lines(section: ReportSection, examples: int) -> list[str]:
    """Up to ``examples`` sentences each: better than the rival, worse, and correct ones that were changed."""
    rival = cell(section.rival)
    lines: list[str] = []
    for shown, title in ((section.better, "Better"), (section.worse, "Worse")):
        rows = [f"| {cell(e.source)} | {cell(e.candidate)} | {cell(e.other or '')} |" for e in shown[:examples]]
        lines += ["", f"### {title} than {rival}", "", f"| Text | Candidate | {rival} |", "| --- | --- | --- |"]
        lines += rows or ["| none | | |"]
    changed = [f"| {cell(e.source)} | {cell(e.candidate)} |" for e in section.meddled[:examples]]
    lines += ["", "### Correct sentences it changed", "", "| Text | Candidate |", "| --- | --- |"]
    return lines + (changed or ["| none | |"])


def _cost_lines(section: ReportSection) -> list[str]:
    lines = [
        "| System | texts a second | p50 ms | p95 ms | tokens in / out | $ per thousand |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for name, s in section.systems.items():
        tokens = f"{s.prompt_tokens:,} / {s.completion_tokens:,}" if s.prompt_tokens else "–"
        speed = number(s.sentences_per_second if s.p50_ms is not None else None)
        lines.append(
            f"| {cell(name)} | {speed} | {number(s.p50_ms, 0)} | {number(s.p95_ms, 0)} | {tokens} "
            f"| {number(s.usd_per_thousand, 2)} |"
        )
    return lines


def to_html(
    report: Report,
    reviews: Sequence[ReviewedSystem] = (),
    watch: Stopwatch | None = None,
    shadow: str | None = None,
) -> str:
    """One self-contained HTML file: styles and pictures inside, nothing fetched, no scripts.

    Args:
        reviews: what people's reviews come to so far.
        watch: the pictures' seconds are counted under ``plots``.
        shadow: what the adapter's answers to real requests came to; None where it gave none.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(span=span, code=_code, signed=signed, number=number, clear=clear)
    clock = watch or Stopwatch()
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        headline=headline(report),
        views=[_view(section, clock) for section in report.sections],
        marked=marked,
        reviewed=reviewed_html(report.adapter, reviews),
        beside=BESIDE,
        shadow=shadow,
    )


@dataclass(frozen=True, slots=True)
class _View:
    """One set's part of the page: its figures with the sentences and pictures made of them."""

    section: ReportSection
    about_the_set: str
    about_explanations: str
    explanation_head: tuple[str, ...]
    explanation_rows: list[tuple[str, ...]]
    points_head: tuple[str, ...]
    points_rows: list[tuple[str, ...]]
    points_badly: str
    about_the_judge: str
    questions: list[Row]
    reasons: list[Row]
    no_comparator: str
    scores_image: str
    types_image: str | None
    cost_images: list[tuple[str, str]]


def _view(section: ReportSection, watch: Stopwatch) -> _View:
    with watch.on("plots"):
        intervals = {name: scores.intervals for name, scores in section.systems.items()}
        scores_image = _image(scores_plot(intervals))
        types = section.types[:14]
        types_image = _image(types_plot(types, "candidate", section.rival)) if types else None
        cost_images = _cost_images(section)
    return _View(
        section=section,
        about_the_set=_about_the_set(section),
        about_explanations=_about_explanations(section),
        explanation_head=EXPLAINED,
        explanation_rows=_explanation_rows(section),
        points_head=points_head(section.rival),
        points_rows=points_rows(section.points),
        points_badly=badly_served(section.points),
        about_the_judge=about_the_judge(section.judge),
        questions=questions_rows(section.judge),
        reasons=reasons_rows(section.judge),
        no_comparator=section.comparator or NO_COMPARATOR,
        scores_image=scores_image,
        types_image=types_image,
        cost_images=cost_images,
    )


def _cost_images(section: ReportSection) -> list[tuple[str, str]]:
    """(label, picture) of F0.5 against each cost that two systems or more were measured for."""
    costs = {
        "milliseconds a text, median, as measured": {n: s.p50_ms for n, s in section.systems.items()},
        "files of the model and its adapter, in GB": {n: s.weights_gb for n, s in section.systems.items()},
        "US dollars per thousand texts": {n: s.usd_per_thousand for n, s in section.systems.items()},
    }
    pictures: list[tuple[str, str]] = []
    for label, by_system in costs.items():
        known = {n: (section.systems[n].errant_f05 or 0.0, cost) for n, cost in by_system.items() if cost}
        if len(known) > 1:
            pictures.append((label, _image(cost_plot(known, label))))
    return pictures


def headline(report: Report) -> str:
    """The verdict in one line."""
    scores = report.sections[0].systems["candidate"]
    did = "may serve" if report.verdict == "promote" else "is refused"
    return f"Adapter {report.adapter} {did}: GLEU {number(scores.gleu)}, F0.5 {number(scores.errant_f05)}"


def marked(before: str, after: str) -> list[tuple[str, str]]:
    """Word by word what changed: (kind, text) with kind ``same``, ``del`` or ``ins``."""
    was, now = before.split(), after.split()
    pieces: list[tuple[str, str]] = []
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("same", " ".join(was[i1:i2])))
            continue
        pieces += [("del", " ".join(was[i1:i2]))] if i2 > i1 else []
        pieces += [("ins", " ".join(now[j1:j2]))] if j2 > j1 else []
    return pieces


def _about_the_set(section: ReportSection) -> str:
    data = section.data
    small = " It is a small set (under 300 rows), so differences must be large to show." if data.small else ""
    return (
        f"Measured on {data.name} ({data.n} rows, sha256 {data.sha256[:12]}) with {section.scorer}.{small} "
        f"Intervals are 95 %, paired bootstrap, {section.draws:,} draws; nothing is called better inside its interval."
        f"{STACKS.get(section.stack, '')}"
        f"{' ' + section.unchecked if section.unchecked else ''}"
    )


def _about_explanations(section: ReportSection) -> str:
    counts = section.explanations
    if counts is None:
        return "Explanations were not asked for in this evaluation."
    if not counts.edits:
        return "There were no edits to explain."
    share = 100 * counts.model_reasons / counts.edits
    return (
        f"{_about_the_sample(counts, section)}{counts.edits} edits: {counts.model_reasons} explained by the model "
        f"({share:.0f} %), {counts.rule_reasons} by rule, {counts.unexplained} without a reason; "
        f"{counts.stray_reasons} reasons speak of no edit. "
        f"Quoted words occur in {counts.quotes_occur or 0:.0f} % of reasons; of {counts.type_named} that name a "
        f"kind of error, {counts.type_named_rightly:.0f} % name a fitting one; "
        f"{counts.words_per_reason or 0:.1f} words a reason."
    )


def _about_the_sample(counts: ExplanationCounts, section: ReportSection) -> str:
    """How many sentences the figures come from; empty for reports that do not hold it."""
    rows, n = counts.rows, section.data.n
    if rows is None:
        return ""
    asked = f"Asked about {rows} sentences, a sample of the {n}. " if rows < n else f"Asked about all {n} sentences. "
    alone = "Here the candidate alone was asked; `correctly report --full` asks the base model and the champion too. "
    return asked + (alone if len(section.explanations_of) < 2 else "")


def _explanation_rows(section: ReportSection) -> list[tuple[str, ...]]:
    """By system: edits, with a reason, written by the model, stray, quoted words that occur; empty for one alone."""
    counted = section.explanations_of
    rows: list[tuple[str, ...]] = []
    for name, c in counted.items() if len(counted) > 1 else ():
        shares = [f"{100 * count / c.edits:.0f} %" if c.edits else "–" for count in (c.explained, c.model_reasons)]
        quoted = "–" if c.quotes_occur is None else f"{c.quotes_occur:.0f} %"
        rows.append((name, f"{c.edits:,}", *shares, str(c.stray_reasons), quoted))
    return rows


def _explanation_lines(section: ReportSection) -> list[str]:
    rows = [(cell(name), *figures) for name, *figures in _explanation_rows(section)]
    head = [f"| {' | '.join(EXPLAINED)} |", "| --- | --: | --: | --: | --: | --: |"]
    return ["", *head, *(f"| {' | '.join(row)} |" for row in rows)] if rows else []


def _code(text: str) -> str:
    """Escaped text with its `commands` set as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _image(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
