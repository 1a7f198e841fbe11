"""What is served is what is measured: the gateway's own parts over a fake engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

from correctly_assets.core.ports import Ranker
from correctly_assets.correction.bounds import Bounds, ModeBounds, write_bounds
from correctly_assets.correction.edit_judge import FEATURES, Judge
from correctly_assets.gateway.build_parts import build_parts
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.token_usage import MeteredCompleter
from correctly_assets.settings import Settings
from correctly_tests.serving_fakes import FakeEngine, fake_engine

BEFORE, AFTER = "She go to school with Tom.", "She goes to school with Tom."
MISSPELT = "He has an accomodation there."


def served(home: Path, engine: FakeEngine, text: str) -> str:
    """The answer of the parts that the gateway runs on, from an adapter with a judge that needs the base model."""
    settings = Settings().changed(platform={"home": home}, serving={"vllm_port": engine.port})
    adapter = settings.platform.adapters_dir / "a"
    adapter.mkdir(parents=True, exist_ok=True)
    engine.registered["a"] = str(adapter)
    half = Bounds(edit=0.5, word=0.5)
    judge = Judge(weights=[1.0 if name == "gain" else 0.0 for name in FEATURES])
    write_bounds(adapter, ModeBounds(careful=half, fluent=half, judge=judge))

    async def main() -> str:
        parts = build_parts(settings, Options())
        try:
            return (await parts.corrector.correct(text, model="a", release="r0001", adapter="a")).after
        finally:
            await parts.engine.aclose()

    return asyncio.run(main())


def test_the_served_corrector_asks_the_base_model_about_an_edit(tmp_path: Path) -> None:
    with fake_engine() as engine:
        engine.fixes = {"a": {BEFORE: AFTER}}
        served(tmp_path / "home", engine, BEFORE)
        judged = [body["prompt"] for body in engine.asked if body["model"] == "base"]
        assert judged == [[BEFORE, AFTER]]


def test_the_served_corrector_ranks_what_a_misspelt_word_may_stand_for(tmp_path: Path) -> None:
    with fake_engine() as engine:
        served(tmp_path / "home", engine, MISSPELT)
        ranked = [text for body in engine.asked if isinstance(body["prompt"], list) for text in body["prompt"]]
        assert any(text.endswith("He has an accommodation there.") for text in ranked)


def test_the_meter_hands_on_everything_that_a_corrector_asks() -> None:
    assert issubclass(MeteredCompleter, Ranker)
