"""How long scoring takes, and how near it is to an independent scorer.

`make bench-score`. With CORRECTLY_BENCHMARK_DATA naming a folder that holds `jfleg_dev.jsonl` and `score_gec.py`, the
sentences are JFLEG's and the figures are held against that scorer; without it, 750 sentences with four references are
made from the shipped evaluation set and only time is measured. Nothing of that folder is copied or kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.common import figure, write_results
from correctly_assets.core.evaluation import Answers, Costs, EvaluationRow, EvaluationSet
from correctly_assets.core.types import Correction
from correctly_assets.correction.annotate import ErrantAnnotator
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import compare_pair, resampler_for, score
from correctly_assets.evaluation.systems import HarperSystem

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "correctly_assets" / "starter" / "evaluation.jsonl"
ROUNDS = 3
ROWS, REFERENCES = 750, 4
T = TypeVar("T")


def timed(what: Callable[[], T]) -> tuple[float, T]:
    """Seconds of one call, and what it returned."""
    started = time.perf_counter()
    value = what()
    return time.perf_counter() - started, value


def made_set() -> EvaluationSet:
    """750 distinct sentences with four distinct references, from the shipped set."""
    shipped = read_evaluation_set(SHIPPED).rows
    rows: list[EvaluationRow] = []
    for number in range(ROWS):
        row = shipped[number % len(shipped)]
        lead = "" if number < len(shipped) else "As I said, "
        texts = [f"{lead}{text}" for text in row.references]
        more = [f"{text} Really." for text in texts]
        rows.append(EvaluationRow(f"{lead}{row.source}", tuple((texts + more + texts)[:REFERENCES]), row.kind))
    return EvaluationSet("made from the shipped set", tuple(rows), "made")


def answers_of(name: str, data: EvaluationSet, texts: Sequence[str]) -> Answers:
    pairs = zip(data.sources, texts, strict=True)
    corrections = tuple(Correction(f"c_{n}", before, after) for n, (before, after) in enumerate(pairs))
    return Answers(name, name, data.sha256, corrections, Costs())


def independent(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """The other scorer's figures for the same texts."""
    with tempfile.TemporaryDirectory() as directory:
        predictions, out = Path(directory) / "predictions.txt", Path(directory) / "out.json"
        predictions.write_text("\n".join(" ".join(text.split()) for text in texts) + "\n", encoding="utf-8")
        command = [sys.executable, str(folder / "score_gec.py"), "--data", str(folder / "jfleg_dev.jsonl")]
        subprocess.run([*command, "--pred", str(predictions), "--json", str(out)], check=True, capture_output=True)
        return json.loads(out.read_text())


def main() -> None:
    folder = Path(os.environ["CORRECTLY_BENCHMARK_DATA"]) if os.environ.get("CORRECTLY_BENCHMARK_DATA") else None
    data = read_evaluation_set(folder / "jfleg_dev.jsonl") if folder is not None else made_set()
    corrected = asyncio.run(HarperSystem().correct_all(data.sources, reasons=False))
    harper = answers_of("harper", data, [correction.after for correction in corrected])
    untouched = answers_of("untouched", data, data.sources)

    loads: list[float] = []
    times: list[float] = []
    busy: list[float] = []
    for _ in range(ROUNDS):
        # A fresh annotator each round: what is timed parses and aligns every text anew.
        load, annotator = timed(ErrantAnnotator)
        begun = time.process_time()
        times.append(timed(lambda annotator=annotator: score(harper, data, annotator))[0])
        busy.append(time.process_time() - begun)
        loads.append(load)
    annotator = ErrantAnnotator()
    scored = score(harper, data, annotator)
    plain = score(untouched, data, annotator)
    draws, _ = timed(lambda: compare_pair(scored, plain, resampler_for(scored)))
    figures = {
        "seconds_750x4": figure(statistics.median(times), "s", floor=30, goal=12),
        "cpu_seconds_750x4": figure(statistics.median(busy), "s"),
        "load_seconds": figure(statistics.median(loads), "s"),
        "bootstrap_seconds": figure(draws, "s"),
        "untouched_gleu": figure(plain.scores["gleu"], "points", better="higher"),
        "harper_gleu": figure(scored.scores["gleu"], "points", better="higher"),
        "harper_f05": figure(scored.scores["errant_f05"], "points", better="higher"),
    }
    if folder is not None:
        others = [
            (plain, independent(folder, data.sources)),
            (scored, independent(folder, [c.after for c in corrected])),
        ]
        gleu = max(abs(ours.scores["gleu"] - theirs["gleu_corpus"]) for ours, theirs in others)
        f05 = max(abs(ours.scores["errant_f05"] - theirs["errant_f05"]) for ours, theirs in others)
        figures["gleu_delta"] = figure(gleu, "points", floor=0.3, goal=0.1)
        figures["f05_delta"] = figure(f05, "points", floor=0.3, goal=0.1)
    write_results("score", figures, rounds=ROUNDS, data=data.name)


if __name__ == "__main__":
    main()
