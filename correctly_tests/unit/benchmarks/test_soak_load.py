"""The soak benchmark's load: what it counts as the client's fault and what as the gateway's, and how it fits memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks import soak_memory
from benchmarks.soak_load import Mix, growth
from correctly_tests.serving_fakes import fake_engine, running_gateway

TEXTS = ["She go to school every day.", "The meeting starts at nine in the large room.", "I am agree with you."]


def test_growth_is_the_slope_per_thousand_requests_after_warm_up() -> None:
    samples = [
        {"seconds": 10.0 * n, "requests": 500.0 * n, "gateway": 900.0 if n < 3 else 300 + 2.0 * n} for n in range(20)
    ]
    slope = growth(samples, "gateway", after_seconds=30)
    assert slope is not None
    assert slope[0] == pytest.approx(4.0) and slope[1] == pytest.approx(0, abs=1e-6)
    assert growth(samples[:3], "gateway", after_seconds=0) is None
    assert growth([sample | {"requests": 1.0} for sample in samples], "gateway", after_seconds=0) is None


@pytest.mark.slow
def test_a_sound_gateway_gives_no_errors_of_its_own_and_a_lost_engine_does(tmp_path: Path) -> None:
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine) as running:
        engine.default = {TEXTS[0]: "She goes to school every day."}
        running.serves(running.release("a"))
        tally = asyncio.run(Mix(running.url, TEXTS, seed=4, document_words=60).run(6, 4))
        assert tally.wrong == []
        assert tally.done == sum(tally.outcomes.values()) > 20
        assert {kind for kind, _ in tally.outcomes} >= {"sentence", "reasons", "stream", "malformed"}
        assert all(400 <= int(how) < 500 for kind, how in tally.outcomes if kind == "malformed")
        assert sum(row["n"] for row in tally.over_time(60)) == len(tally.times)
        engine.away = True
        broken = asyncio.run(Mix(running.url, TEXTS, seed=4, document_words=60).run(2, 4))
        assert broken.wrong and {kind for kind, _ in broken.wrong} <= {
            "sentence", "reasons", "batch", "chat", "stream", "base", "document", "cancelled",
        }  # fmt: skip


def test_memory_that_grows_with_equal_requests_is_told_from_new_sizes() -> None:
    def lots(*megabytes: list[float]) -> list[dict[str, Any]]:
        return [
            {
                "stage": stage,
                "kind": soak_memory.LOTS[stage][0],
                "requests": 100 if value != values[-1] else 0,
                "mb": value,
            }
            for stage, values in enumerate(megabytes)
            for value in values
        ]

    cache = soak_memory.figures_of(lots([500, 501, 500], [800, 900, 890], [890, 891, 890]))
    assert cache == {"equal_growth_before": 0, "equal_growth_after": 0, "mixed_added": 390}
    leak = soak_memory.figures_of(lots([500, 510, 520], [600, 700, 690], [700, 720, 740]))
    assert leak == {"equal_growth_before": 200, "equal_growth_after": 400, "mixed_added": 170}
