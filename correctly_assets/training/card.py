"""An adapter's model card: what it was made from, what it scored, what it is for.

Belongs here: the text of ``README.md`` beside an adapter's content, of whose hash it is no part, so that it may be written
again when there are scores. Does not belong here: measuring. Importable without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.artifacts.manifests import AdapterManifest, Figures, read_manifest
from correctly_assets.artifacts.reports import AdapterReport, find_report
from correctly_assets.core.training import got_worse

CARD = "README.md"
ELSEWHERE = "trained elsewhere"
"""The manifest's ``origin`` of an adapter that this platform has not trained."""

_GEMMA_TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms; "
    "they bind this adapter too."
)
_SHOWN = (
    ("gleu", "GLEU"),
    ("errant_f05", "ERRANT F0.5"),
    ("exact_match", "Exactly as the reference, %"),
    ("overcorrected", "Correct sentences changed, %"),
)


def write_card(directory: Path) -> Path:
    """Write an adapter's card from its manifest and, where it has been evaluated, its ``report.json``.

    Raises:
        ManifestError: the directory holds no manifest that can be read.
    """
    manifest = read_manifest(directory, AdapterManifest)
    path = directory / CARD
    write_text_atomically(path, model_card(manifest, find_report(directory)))
    path.chmod(0o644)
    return path


def model_card(manifest: AdapterManifest, report: AdapterReport | None = None) -> str:
    """The model card: base and its terms, data hashes, scores, intended use."""
    base = manifest.base_model
    gemma = "gemma" in base.name.lower()
    lines = [
        "---",
        f"base_model: {base.name}",
        "library_name: peft",
        f"license: {'gemma' if gemma else 'other'}",
        "language: [en]",
        "pipeline_tag: text-generation",
        "---",
        "# A Correctly adapter",
        "",
        "A LoRA adapter that corrects English sentences and explains single corrections, in separate turns.",
        "",
        f"- **Base model:** {base.name}, revision `{base.revision}`.",
        f"- **Terms:** {_GEMMA_TERMS if gemma else 'the base model’s licence binds this adapter too.'}",
        *_made_from(manifest),
        "- **Intended use:** correcting everyday and business English behind Correctly's guards. It may change meaning,",
        "  names or numbers; it is no judge of facts and is not meant for other languages.",
        "",
        *(_shipped_scores(manifest.scores) if report is None and manifest.scores else _scores(report)),
        *_forgetting(manifest.figures or Figures()),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _made_from(manifest: AdapterManifest) -> list[str]:
    prompts = f"- **Prompts:** sha256 `{manifest.prompt_sha256 or 'not recorded'}`."
    if manifest.origin == ELSEWHERE:
        named = (manifest.elsewhere and manifest.elsewhere.base_model_name_or_path) or "no base model"
        return [
            f"- **Data:** {ELSEWHERE} and adopted; what it was trained on is not known here (its own config names {named}).",
            prompts,
        ]
    figures = manifest.figures
    if figures is None or figures.loss_first is None or figures.loss_last is None or manifest.config is None:
        return ["- **Data:** its manifest does not say what it was trained on.", prompts]
    held_out = figures.held_out_loss
    shown = "not measured" if held_out is None else f"{held_out:.3f}"
    mean = [f"- **Weights:** the mean of the adapters {' and '.join(manifest.averaged)}; what follows is the second's."]
    return [
        *(mean if manifest.averaged else []),
        f"- **Data:** sha256 `{manifest.data_sha256}`"
        + (f" (train set `{manifest.train_set}`)" if manifest.train_set else "")
        + f", {figures.pairs} pairs, {figures.items} turns.",
        prompts,
        f"- **Training:** {figures.steps} steps, seed {manifest.seed}, LoRA rank {manifest.config.lora.rank}; loss",
        f"  {figures.loss_first:.3f} → {figures.loss_last:.3f}, held out {shown} (nats a completion token).",
    ]


def _scores(report: AdapterReport | None) -> list[str]:
    if report is None:
        return ["It has not been evaluated yet; `report.json` will stand beside this file once it has.", ""]
    systems, data = report.systems, report.data
    names = [name for name in ("candidate", "base", "champion") if name in systems]
    heads = {"candidate": "This adapter", "base": "Base model", "champion": "Champion then"}
    rows = [
        f"| {title} | {' | '.join(_number(getattr(systems[name], key)) for name in names)} |"
        for key, title in _SHOWN
        if any(getattr(systems[name], key) is not None for name in names)
    ]
    verdict = {"promote": "passed", "refuse": "was refused by"}.get(str(report.verdict), "was held against")
    return [
        f"It {verdict} the gate on the set `{data.name}` ({data.n} sentences, sha256 `{data.sha256}`).",
        "",
        f"| Score | {' | '.join(heads[name] for name in names)} |",
        f"| --- |{' --- |' * len(names)}",
        *rows,
        "",
    ]


def _shipped_scores(scores: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The scores of the adapter that ships, which no gate has judged, by mode."""
    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    titles = {**dict(_SHOWN), "errant_p": "ERRANT precision", "errant_r": "ERRANT recall"}
    return [
        "On the frozen set, in the ways of answering:",
        "",
        f"| Score | {' | '.join(f'`{mode}`' for mode in scores)} |",
        f"| --- |{' --- |' * len(scores)}",
        *(
            f"| {titles.get(key, key)} | {' | '.join(_number(values.get(key)) for values in scores.values())} |"
            for key in names
        ),
        "",
    ]


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "–"


def _forgetting(figures: Figures) -> list[str]:
    slices = {name: {"before": s.before, "after": s.after, "items": s.items} for name, s in figures.forgetting.items()}
    if not slices:
        return []
    return [
        "| Held-out turns | Loss before | Loss after | Turns |",
        "| --- | --- | --- | --- |",
        *(
            f"| {key.replace('|', ' ')} | {value['before']:.3f} | {value['after']:.3f} | {value['items']} |"
            for key, value in slices.items()
        ),
        "",
        "Got worse: " + (", ".join(f"{name} by {by:.0f} %" for name, by in got_worse(slices)) or "no slice") + ".",
        "",
    ]
