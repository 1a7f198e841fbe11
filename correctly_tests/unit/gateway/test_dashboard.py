"""The dashboard: what it says of a store in which things have happened, and that it needs nobody else to be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from correctly_assets.core.types import Correction, Edit, Example
from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.dashboard import dashboard_page
from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings
from correctly_assets.store import Store, open_store
from correctly_tests.commands import Run
from correctly_tests.serving_fakes import fake_engine, running_gateway


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings().changed(platform={"home": tmp_path})


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as opened:
        yield opened


def lived(store: Store) -> None:
    """Three releases, a refusal, examples of which one waits for a decision, answers and votes."""
    for number in range(3):
        systems = {
            "candidate": {"gleu": 70.0 + number, "errant_f05": 60.0 + number, "overcorrected": 5.0 - number},
            "base": {"errant_f05": 41.5},
        }
        store.add_release(
            adapter=f"adapter{number}", base_model="b", kind="promotion", why="better", scores={"systems": systems}
        )
    store.land([Example(id="e1", before="He go.", after="He goes.")], file="monday.csv")
    store.record_decision(
        fingerprint="f", verdict="promoted", reasons=["Better."], adapter="adapter2", example_ids=None
    )
    store.land([Example(id="e2", before="We was.", after="We were.")], file="friday.csv")
    store.record_decision(fingerprint="g", verdict="refused", reasons=["F0.5 fell <b>far</b>."], run_id="1234567890")
    edit = Edit(start=3, end=5, was="go", now="goes", type="R:VERB:SVA", reason=None, reason_origin=None)
    for number in range(12):
        edits = (edit,) if number % 3 else ()
        answer = Correction(
            id=f"c{number}", before="He go.", after="He goes.", edits=edits, release=f"r000{1 + number % 3}", adapter="a", fallback=None
        )  # fmt: skip
        store.journal_correction(answer, seconds=0.2 + number / 50, tokens=40)
        store.add_feedback(source_key=str(number), correction_id=f"c{number}", rating=1 if number % 4 else -1)


def test_an_empty_platform_has_a_page_that_says_what_comes(store: Store, settings: Settings) -> None:
    page = dashboard_page(store, settings)
    assert "Nothing has landed yet" in page and "none yet" in page and "No figures yet." in page


def test_every_picture_is_drawn_and_its_words_say_the_figures(store: Store, settings: Settings) -> None:
    lived(store)
    page = dashboard_page(store, settings)
    assert page.count("data:image/svg+xml;base64,") == 7 and "No figures yet." not in page
    assert "newest release: 62.0 and 72.0" in page and "newest release: 3.0 %" in page
    assert "9 up, 3 down" in page and "8 edits of the last 12 answers" in page


def test_what_landed_stands_with_its_decision_and_runs_with_their_reasons(store: Store, settings: Settings) -> None:
    lived(store)
    rows = re.findall(r"<tr><td data-head=.*?</tr>", dashboard_page(store, settings))
    assert any("monday.csv" in row and "promoted" in row and "adapter2" in row for row in rows)
    assert any("friday.csv" in row and "waits" in row for row in rows)
    assert any("/runs/1234567890" in row and "&lt;b&gt;far" in row for row in rows)


def test_alerts_stand_at_the_top_and_nothing_wrong_is_said_too(store: Store, settings: Settings) -> None:
    quiet = settings.changed(alerts={"disk_free_gb": 0, "backup_hours": 0})
    assert "Nothing is wrong" in dashboard_page(store, quiet)
    lived(store)
    page = dashboard_page(store, quiet)
    assert "The gate refused an adapter" in page and "Nothing is wrong" not in page


def test_the_page_fetches_nothing_and_runs_nothing(store: Store, settings: Settings) -> None:
    lived(store)
    page = dashboard_page(store, settings)
    assert "<script" not in page and "<link" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(one.startswith(("data:", settings.platform.dagster_url)) for one in sources)


def test_the_gateway_serves_it_and_draws_it_once_for_many(tmp_path: Path) -> None:
    drawn: list[int] = []

    def draw(losses: int) -> str:
        drawn.append(1)
        return "<p>monday.csv</p>"

    home = tmp_path / "home"
    with (
        fake_engine() as engine,
        running_gateway(home, engine, Options(poll_seconds=0.05), dashboard=draw) as running,
        ThreadPoolExecutor(4) as pool,
    ):
        url = f"{running.url}/dashboard"
        pages = list(pool.map(lambda _: httpx.get(url, trust_env=False, timeout=60), range(8)))
    assert {(page.status_code, page.text) for page in pages} == {(200, "<p>monday.csv</p>")} and len(drawn) == 1
    assert pages[0].headers["content-security-policy"].startswith("default-src 'none'")


def test_it_asks_for_a_key_which_a_browser_shows_as_a_password(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = new_key(home / "keys.json", "ops")
    options = Options(poll_seconds=0.05, keys_file=home / "keys.json")
    with fake_engine() as engine, running_gateway(home, engine, options) as running:
        lived(running.store)

        def get(path: str, **shown: Any) -> httpx.Response:
            return httpx.get(f"{running.url}{path}", trust_env=False, timeout=60, **shown)

        refused = get("/dashboard")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == 'Basic realm="Correctly"'
        assert get("/dashboard", auth=("me", "guessed")).status_code == 401
        assert "monday.csv" in get("/dashboard", auth=("me", key)).text
        assert get("/dashboard", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        # Nothing else takes a browser's password, which the browser would send with every request of its own accord.
        page = {"Sec-Fetch-Site": "same-origin"}
        assert get("/v1/models", auth=("me", key), headers=page).status_code == 401
        assert get("/dashboard", auth=("me", key), headers=page).status_code == 200


def test_the_command_prints_the_address_and_opens_nothing_undisplayed(run: Run, monkeypatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert run("dashboard")[:2] == (0, "http://127.0.0.1:8080/dashboard\n")
    assert run("dashboard", "--no-open")[0] == 0
    assert json.loads(run("dashboard", "--json")[1]) == {"url": "http://127.0.0.1:8080/dashboard"}


def test_a_run_stands_with_what_its_training_took(store: Store, settings: Settings) -> None:
    adapter = settings.platform.adapters_dir / "aaaaaaaaaaaa"
    adapter.mkdir(parents=True)
    took = {"minutes": 2.54, "gigabytes": 3.21}
    (adapter / "manifest.json").write_text(
        json.dumps({"kind": "lora_adapter", "id": "aaaaaaaaaaaa", "figures": {"plan": {"took": took}}})
    )
    store.record_decision(fingerprint="f", verdict="promoted", reasons=["Better."], adapter="aaaaaaaaaaaa")
    assert "2.5 min, 3.2 GB" in dashboard_page(store, settings)
