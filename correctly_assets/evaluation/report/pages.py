"""How a report reads: Markdown for the Dagster page, and one self-contained HTML file.

Belongs here: wording and arrangement. Does not belong here: what is in the report (report.py), pictures (plots.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from correctly_assets.core.gate import Interval
from correctly_assets.evaluation.report.judge_section import (
    about_the_judge,
    questions_lines,
    questions_rows,
    reasons_rows,
)
from correctly_assets.evaluation.report.plots import cost_plot, scores_plot, types_plot
from correctly_assets.evaluation.report.points_section import badly_served, points_head, points_lines, points_rows
from correctly_assets.evaluation.report.review_section import reviewed_html, reviewed_lines
from correctly_assets.evaluation.report.stopwatch import Stopwatch
from correctly_assets.evaluation.report.wording import cell, clear, number, signed, span

TEMPLATE = Path(__file__).with_name("report.html.j2")
STACKS = {
    "harper-then-model": " Base, champion and candidate answered behind Harper's rules, as they are served "
    "(CORRECTLY_STACK=harper-then-model); candidate-alone is CORRECTLY_STACK=model.",
    "model": " Models answered alone, as they are served; harper-then-candidate, where it is measured, is served with "
    "CORRECTLY_STACK=harper-then-model.",
}
EXPLAINED = ("System", "edits", "with a reason", "written by the model", "stray reasons", "quoted words occur")
NO_COMPARATOR = "not recorded; run `correctly record --model MODEL` to record a large model's answers once"


def to_markdown(report: Mapping[str, Any], examples: int = 5) -> str:
    """The page in the Dagster UI: verdict, systems, types, examples, restraint, explanations, provenance."""
    lines = [f"## {headline(report)}", "", *(f"- {reason}" for reason in report["reasons"]), ""]
    sections = sections_of(report)
    for section in sections:
        lines += [f"## {cell(section['data']['name'])}", ""] if len(sections) > 1 else []
        lines += _section_lines(section, examples)
    lines += reviewed_lines(report)
    lines += ["### Built from", "", *(f"- {key}: `{value}`" for key, value in report["provenance"].items())]
    return "\n".join(lines) + "\n"


def sections_of(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What a report shows, set by set: a full report has several, an adapter's own is one."""
    return report.get("sets") or [report]


def _section_lines(report: Mapping[str, Any], examples: int) -> list[str]:
    rival = report["rival"]
    lines = [
        _about_the_set(report),
        "",
        "| System | GLEU | F0.5 | P | R | candidate minus it, F0.5 | correct changed | missed | ran on |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for name, scores in report["systems"].items():
        bold = "**" if name == "candidate" else ""
        spans = scores["intervals"]
        to_it = report["differences"].get(name, {}).get("errant_f05")
        versus = f"{signed(Interval.from_json(to_it))} {clear(to_it)}" if to_it else "–"
        lines.append(
            f"| {bold}{cell(name)}{bold} | {span(spans['gleu'])} | {span(spans['errant_f05'])} "
            f"| {scores['errant_p']:.1f} | {scores['errant_r']:.1f} "
            f"| {versus} | {scores['overcorrected']:.1f} % | {scores['missed']:.1f} % | {scores['run_on']:.1f} % |"
        )
    if "comparator" not in report["systems"]:
        lines.append(f"| comparator | {cell(report.get('comparator') or NO_COMPARATOR)} | | | | | | | |")
    lines += ["", "▲ the candidate is better with its whole interval, ▼ worse, ≈ neither can be said."]
    lines += [
        "",
        f"### Error types, against {cell(rival)}",
        "",
        f"| Type | edits | candidate | {cell(rival)} | difference |",
    ]
    lines += ["| --- | --: | --: | --: | --: |"]
    for row in report["types"][:12]:
        difference = Interval.from_json(row["difference"])
        lines.append(
            f"| {row['name']} | {row['edits']} | {row['candidate']:.0f} | {row['other']:.0f} | {signed(difference)} {clear(row['difference'])} |"
        )
    lines += points_lines(report)
    for key, title in (("better", "Better"), ("worse", "Worse")):
        chosen = report[key][:examples]
        lines += [
            "",
            f"### {title} than {cell(rival)}",
            "",
            f"| Text | Candidate | {cell(rival)} |",
            "| --- | --- | --- |",
        ]
        lines += [f"| {cell(e['source'])} | {cell(e['candidate'])} | {cell(e['other'])} |" for e in chosen]
        lines += [] if chosen else ["| none | | |"]
    lines += ["", "### Correct sentences it changed", "", "| Text | Candidate |", "| --- | --- |"]
    lines += [f"| {cell(e['source'])} | {cell(e['candidate'])} |" for e in report["meddled"][:examples]] or [
        "| none | |"
    ]
    return [
        *lines,
        "",
        "### Explanations",
        "",
        _about_explanations(report),
        *_explanation_lines(report),
        "",
        "### Cost",
        "",
        *_cost_lines(report),
        "",
        "### Judge",
        "",
        about_the_judge(report),
        "",
        *questions_lines(report["judge"]),
    ]


def _cost_lines(report: Mapping[str, Any]) -> list[str]:
    lines = [
        "| System | texts a second | p50 ms | p95 ms | tokens in / out | $ per thousand |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for name, s in report["systems"].items():
        tokens = f"{s['prompt_tokens']:,} / {s['completion_tokens']:,}" if s["prompt_tokens"] else "–"
        speed = number(s["sentences_per_second"] if s["p50_ms"] is not None else None)
        lines.append(
            f"| {cell(name)} | {speed} | {number(s['p50_ms'], 0)} | {number(s['p95_ms'], 0)} | {tokens} "
            f"| {number(s['usd_per_thousand'], 2)} |"
        )
    return lines


def to_html(report: Mapping[str, Any], watch: Stopwatch | None = None) -> str:
    """One self-contained HTML file: styles and pictures inside, nothing fetched, no scripts.

    Args:
        watch: the pictures' seconds are counted under ``plots``.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        span=span, code=_code, signed=lambda value: signed(Interval.from_json(value)), number=number, clear=clear
    )
    clock = watch or Stopwatch()
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        report=report,
        headline=headline(report),
        views=[_view(section, clock) for section in sections_of(report)],
        marked=marked,
        reviewed=reviewed_html(report),
    )


def _view(section: Mapping[str, Any], watch: Stopwatch) -> dict[str, Any]:
    """One set's part of the page: its figures with the sentences and pictures made of them."""
    with watch.on("plots"):
        pictures = _pictures(section)
    return {
        "section": section,
        "about_the_set": _about_the_set(section),
        "about_explanations": _about_explanations(section),
        "explanation_head": EXPLAINED,
        "explanation_rows": _explanation_rows(section),
        "points_head": points_head(section["rival"]),
        "points_rows": points_rows(section),
        "points_badly": badly_served(section),
        "about_the_judge": about_the_judge(section),
        "questions": questions_rows(section["judge"]),
        "reasons": reasons_rows(section["judge"]),
        "no_comparator": section.get("comparator") or NO_COMPARATOR,
        **pictures,
    }


def _pictures(section: Mapping[str, Any]) -> dict[str, Any]:
    rival, systems = section["rival"], section["systems"]
    rows = [{"name": name, **scores["intervals"]} for name, scores in systems.items()]
    costs = [
        ("p50_ms", "milliseconds a text, median, as measured"),
        ("weights_gb", "files of the model and its adapter, in GB"),
        ("usd_per_thousand", "US dollars per thousand texts"),
    ]
    pictures: list[tuple[str, str]] = []
    for key, label in costs:
        known = [
            {"name": name, "errant_f05": scores["errant_f05"], key: scores[key]}
            for name, scores in systems.items()
            if scores.get(key)
        ]
        if len(known) > 1:
            pictures.append((label, _image(cost_plot(known, key, label))))
    return {
        "scores_image": _image(scores_plot(rows)),
        "types_image": _image(types_plot(section["types"][:14], "candidate", rival)) if section["types"] else None,
        "cost_images": pictures,
    }


def headline(report: Mapping[str, Any]) -> str:
    """The verdict in one line."""
    scores = sections_of(report)[0]["systems"]["candidate"]
    did = "may serve" if report["verdict"] == "promote" else "is refused"
    return f"Adapter {report['adapter']} {did}: GLEU {scores['gleu']:.1f}, F0.5 {scores['errant_f05']:.1f}"


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


def _about_the_set(report: Mapping[str, Any]) -> str:
    data = report["data"]
    small = " It is a small set (under 300 rows), so differences must be large to show." if data["small"] else ""
    return (
        f"Measured on {data['name']} ({data['n']} rows, sha256 {data['sha256'][:12]}) with {report['scorer']}.{small} "
        f"Intervals are 95 %, paired bootstrap, {report.get('draws', 1000):,} draws; nothing is called better inside its interval."
        f"{STACKS.get(report.get('stack', 'model'), '')}"
        f"{' ' + report['unchecked'] if report.get('unchecked') else ''}"
    )


def _about_explanations(report: Mapping[str, Any]) -> str:
    counts = report["explanations"]
    if counts is None:
        return "Explanations were not asked for in this evaluation."
    if not counts["edits"]:
        return "There were no edits to explain."
    share = 100 * counts["model_reasons"] / counts["edits"]
    return (
        f"{_about_the_sample(report)}{counts['edits']} edits: {counts['model_reasons']} explained by the model ({share:.0f} %), "
        f"{counts['rule_reasons']} by rule, {counts['unexplained']} without a reason; "
        f"{counts['stray_reasons']} reasons speak of no edit. "
        f"Quoted words occur in {counts['quotes_occur'] or 0:.0f} % of reasons; of {counts['type_named']} that name a "
        f"kind of error, {counts['type_named_rightly']:.0f} % name a fitting one; "
        f"{counts['words_per_reason'] or 0:.1f} words a reason."
    )


def _about_the_sample(report: Mapping[str, Any]) -> str:
    """How many sentences the figures come from; empty for reports that do not hold it."""
    rows, n = report["explanations"].get("rows"), report["data"]["n"]
    if rows is None:
        return ""
    asked = f"Asked about {rows} sentences, a sample of the {n}. " if rows < n else f"Asked about all {n} sentences. "
    alone = "Here the candidate alone was asked; `correctly report --full` asks the base model and the champion too. "
    return asked + (alone if len(report.get("explanations_of") or {}) < 2 else "")


def _explanation_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """By system: edits, with a reason, written by the model, stray, quoted words that occur; empty for one alone."""
    counted = report.get("explanations_of") or {}
    rows: list[tuple[str, ...]] = []
    for name, c in counted.items() if len(counted) > 1 else ():
        shares = [f"{100 * c[key] / c['edits']:.0f} %" if c["edits"] else "–" for key in ("explained", "model_reasons")]
        quoted = "–" if c["quotes_occur"] is None else f"{c['quotes_occur']:.0f} %"
        rows.append((name, f"{c['edits']:,}", *shares, str(c["stray_reasons"]), quoted))
    return rows


def _explanation_lines(report: Mapping[str, Any]) -> list[str]:
    rows = [(cell(name), *figures) for name, *figures in _explanation_rows(report)]
    head = [f"| {' | '.join(EXPLAINED)} |", "| --- | --: | --: | --: | --: | --: |"]
    return ["", *head, *(f"| {' | '.join(row)} |" for row in rows)] if rows else []


def _code(text: str) -> str:
    """Escaped text with its `commands` set as code."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def _image(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
