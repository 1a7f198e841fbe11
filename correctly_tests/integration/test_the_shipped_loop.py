"""The loop with the settings that ship: its candidate passes the gate that ships. Some ten minutes on two cores."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from correctly_tests.integration.conftest import start

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(3600)]


def test_the_starter_makes_an_adapter_that_passes_the_gate_as_shipped(tmp_path: Path):
    running = start(tmp_path / "home", "up", "--once", budget={})
    assert running.process.wait(3000) == 0, running.said()

    [directory] = (running.home / "adapters").iterdir()
    measured = json.loads((directory / "report.json").read_text())["measured"]
    # The limits as numbers of this test's own: a gate that was loosened, or never asked, does not pass for one passed.
    assert measured["n"] == 400
    assert measured["overcorrected"] <= 15
    assert measured["run_on"] <= 2
    assert measured["versus_base"]["gleu"]["low"] > 0
    assert measured["versus_base"]["errant_f05"]["low"] > 0
    assert measured["edits"] > 0
    assert (measured["unexplained"], measured["stray_reasons"]) == (0, 0)

    with sqlite3.connect(running.home / "store.sqlite") as store:
        decisions = store.execute("SELECT adapter, verdict FROM decision").fetchall()
        releases = store.execute("SELECT adapter, kind FROM release").fetchall()
    assert decisions == [(directory.name, "promoted")]
    assert releases == [(directory.name, "promotion")]
