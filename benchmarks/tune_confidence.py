"""Where the two confidence bounds should stand: recall against restraint over a grid of settings.

    python -m benchmarks.tune_confidence --adapter ID [--data FILE …] [--keep FILE]

The sentences are benchmarks/tuning.jsonl, written for this choice and for nothing else: no example and no evaluation
sentence stands in it, so that what the frozen set says of the chosen bounds stays unbiased. The adapter answers each
sentence once, with the probabilities of its tokens; every setting is then applied to the same answers by the correction
path itself. Prints a table, and writes results/confidence.json with the best F0.5 among the settings that change at most
``--most`` per cent of the correct sentences.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import figure, write_results
from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.evaluation import EvaluationSet
from correctly_assets.core.ports import Annotator, Completer, Completion
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import evaluate
from correctly_assets.evaluation.systems import ModelSystem
from correctly_assets.platform.engine_session import running_engine
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.compare_runs import loaded
from correctly_assets.workflows.make_corrector import make_annotator, make_corrector
from correctly_assets.workflows.measured_systems import adapter_named

OURS = Path(__file__).with_name("tuning.jsonl")
FORMS = (0.0, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
WORDS = (0.0, 0.7, 0.8, 0.9, 0.95, 0.98)


class Kept:
    """A completer that asks once and answers again from what it kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._answers: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}
        self.engine: Completer | None = None

    async def complete(self, prompt: str, **asked: Any) -> Completion:
        """
        Raises:
            UnreachableError: it was not asked before, and there is no engine.
        """
        key = json.dumps([asked["model"], prompt, asked["max_tokens"], list(asked.get("stop", ()))])
        if key not in self._answers:
            if self.engine is None:
                raise UnreachableError("This sentence was not answered before; an engine is needed.")
            self._answers[key] = dataclasses.asdict(await self.engine.complete(prompt, **{**asked, "logprobs": True}))
        found = self._answers[key]
        return Completion(**{**found, "tokens": tuple((token, logprob) for token, logprob in found["tokens"])})

    def save(self) -> None:
        if self._path:
            self._path.write_text(json.dumps(self._answers))


async def scores(
    settings: Settings, completer: Completer, annotator: Annotator, adapter: str, data: EvaluationSet
) -> dict[str, float]:
    path = make_corrector(settings, completer, annotator)
    system = ModelSystem("tuned", path, model=adapter, parts={}, adapter=adapter)
    found = await evaluate(system, data, annotator)
    names = ("gleu", "errant_p", "errant_r", "errant_f05", "overcorrected", "unchanged")
    return {name: found.scores[name] for name in names if found.scores.get(name) is not None}


async def sweep(adapter: str, files: list[Path], kept: Kept) -> dict[str, list[dict[str, float]]]:
    """{set: one row for each setting}."""
    settings, annotator = get_settings(), make_annotator()
    sets = [(file.stem, read_evaluation_set(file)) for file in files]
    bounds = list(itertools.product(FORMS, WORDS))

    async def rows(data: EvaluationSet) -> list[dict[str, float]]:
        found: list[dict[str, float]] = []
        for form, word in bounds:
            chosen = settings.changed(serving={"edit_confidence": form, "word_confidence": word})
            found.append(
                {"edit": form, "word": word, **await scores(chosen, kept, annotator, adapter, data)},
            )
        return found

    try:
        return {name: await rows(data) for name, data in sets}
    except UnreachableError:
        async with (
            running_engine(settings, Console()) as engine,
            loaded(engine, settings.platform.adapters_dir / adapter, Path(settings.base_model_path)) as client,
        ):
            kept.engine = client
            for _, data in sets:
                await scores(settings, kept, annotator, adapter, data)
        kept.engine = None
        kept.save()
    return {name: await rows(data) for name, data in sets}


def best(rows: list[dict[str, float]], most: float) -> dict[str, float] | None:
    """The best F0.5 among the settings that change at most ``most`` per cent of the correct sentences."""
    allowed = [row for row in rows if row["overcorrected"] <= most]
    return max(allowed, key=lambda row: row["errant_f05"], default=None)


def shown(name: str, value: float) -> dict[str, Any]:
    """A bound or a score as a figure."""
    if name in ("edit", "word"):
        return figure(value, "probability")
    if name in ("overcorrected", "unchanged"):
        return figure(value, "%")
    return figure(value, "points", better="higher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="further sets to show beside ours")
    parser.add_argument("--most", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, help="where answers are kept between calls")
    options = parser.parse_args()
    adapter = adapter_named(get_settings().platform, options.adapter)
    found = asyncio.run(sweep(adapter, [OURS, *options.data], Kept(options.keep)))
    for name, rows in found.items():
        print(f"\n{name}\n edit  word   GLEU      P      R   F0.5  correct ones changed")
        for row in rows:
            changed = f"{row['overcorrected']:.1f} %" if "overcorrected" in row else "none in the set"
            print(
                f"{row['edit']:5.2f} {row['word']:5.2f} {row['gleu']:6.1f} {row['errant_p']:6.1f} {row['errant_r']:6.1f} "
                f"{row['errant_f05']:6.1f}  {changed}"
            )
    chosen = best(found[OURS.stem], options.most)
    if chosen is None:
        raise SystemExit(f"No setting changes at most {options.most:g} % of the correct sentences.")
    print(f"\nBest at {options.most:g} %: {chosen}")
    write_results("confidence", {name: shown(name, value) for name, value in chosen.items()}, rounds=1)


if __name__ == "__main__":
    main()
