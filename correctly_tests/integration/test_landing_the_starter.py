"""The starter's landing, killed in the middle: what `correctly up` does at its next start."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from correctly_assets.settings import get_settings
from correctly_assets.workflows.land_rows import STARTER, land_starter
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.fault_table import Row


@pytest.mark.fault(
    fault="kill -9 while the starter's examples land",
    stage="start",
    expected="the next start lands the rest, once",
)
def test_a_starter_killed_in_mid_landing_lands_whole_and_once_afterwards(observed: Row):
    settings = get_settings()
    rows = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in settings.platform.starter_paths)
    code = "from correctly_assets.settings import get_settings; from correctly_assets.workflows.land_rows import land_starter; land_starter(get_settings())"
    with open_platform_store(settings.platform) as store:
        killed = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 120
        while not store.counts().landed:
            assert killed.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        killed.kill()
        killed.wait()
        there = store.counts().landed
        assert 0 < there < rows and store.landing_unfinished(STARTER)
        assert land_starter(settings) == rows - there
        assert store.counts().landed == rows
        assert store.landing_under_way() is None
        assert land_starter(settings) == 0
        observed(
            f"{there} of {rows} rows were there; the next start landed {rows - there}",
            rows_lost=rows - store.counts().landed,
        )
