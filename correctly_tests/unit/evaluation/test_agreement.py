"""Our scorer says what an independent one says of the same texts."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from correctly_assets.core.evaluation import Answers, Costs, EvaluationSet
from correctly_assets.core.types import Correction
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.evaluation.metrics.score import score
from correctly_assets.evaluation.systems import HarperSystem
from correctly_tests.serving_fakes import errant_annotator

ROWS, WITHIN = 60, 0.3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("CORRECTLY_BENCHMARK_DATA"),
        reason="set CORRECTLY_BENCHMARK_DATA to the folder with jfleg_dev.jsonl and score_gec.py",
    ),
]


@pytest.fixture(scope="module")
def data() -> EvaluationSet:
    return read_evaluation_set(Path(os.environ["CORRECTLY_BENCHMARK_DATA"]) / "jfleg_dev.jsonl", ROWS)


@pytest.mark.parametrize("system", ["harper", "a reference"])
def test_gleu_and_f05_agree_with_the_independent_scorer_on_the_same_text(
    data: EvaluationSet, system: str, tmp_path: Path
) -> None:
    if system == "harper":
        answers = asyncio.run(HarperSystem().correct_all(data.sources, reasons=False))
    else:  # fluent and far from the source, where Harper is neither
        answers = [Correction(f"c_{n}", row.source, row.references[-1]) for n, row in enumerate(data.rows)]
    ours = score(Answers(system, system, data.sha256, tuple(answers), Costs()), data, errant_annotator()).scores
    rows, said, out = tmp_path / "rows.jsonl", tmp_path / "said.txt", tmp_path / "out.json"
    lines = [json.dumps({"source": row.source, "references": row.references}) for row in data.rows]
    rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
    said.write_text("".join(" ".join(one.after.split()) + "\n" for one in answers), encoding="utf-8")
    scorer = Path(os.environ["CORRECTLY_BENCHMARK_DATA"]) / "score_gec.py"
    subprocess.run(
        [sys.executable, str(scorer), "--data", str(rows), "--pred", str(said), "--json", str(out)],
        check=True,
        capture_output=True,
    )
    theirs = json.loads(out.read_text())
    assert theirs["n"] == ours["n"] == ROWS
    assert ours["gleu"] == pytest.approx(theirs["gleu_corpus"], abs=WITHIN)
    assert ours["errant_f05"] == pytest.approx(theirs["errant_f05"], abs=WITHIN)
