"""The loop's metrics at the gateway's /metrics: they are there, and the store is read for them at a bounded cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from correctly_assets.gateway.options import Options
from correctly_assets.settings import Settings
from correctly_assets.store import open_store
from correctly_assets.workflows.loop_metrics import TABLE, Reading, read_loop
from correctly_tests.serving_fakes import fake_engine, running_gateway
from correctly_tests.unit.gateway.test_figures import figure


def counted(home: Path, times: list[int]) -> Callable[[], Reading]:
    settings = Settings().changed(platform={"home": home})

    def read() -> Reading:
        times.append(1)
        with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
            return read_loop(store, settings)

    return read


def test_every_metric_of_the_table_is_declared_and_decisions_are_counted(tmp_path: Path) -> None:
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine) as running:
        running.store.record_decision(fingerprint="f", verdict="refused", reasons=["worse"])
        page = httpx.get(f"{running.url}/metrics", trust_env=False).text
        assert all(f"# TYPE {metric.exposed} {metric.kind}" in page for metric in TABLE)
        assert figure(running, "correctly_decisions_total", 'verdict="refused"') == 1


def test_many_scrapes_at_once_read_the_store_once_an_interval(tmp_path: Path) -> None:
    times: list[int] = []
    home = tmp_path / "home"
    with (
        fake_engine() as engine,
        running_gateway(home, engine, Options(poll_seconds=0.05), read_loop=counted(home, times)) as running,
        ThreadPoolExecutor(8) as pool,
    ):
        pages = list(pool.map(lambda _: httpx.get(f"{running.url}/metrics", trust_env=False, timeout=60), range(24)))
    assert all(page.status_code == 200 for page in pages) and len(times) == 1


def test_the_gateway_watches_the_loop_and_outlives_a_failure_of_it(tmp_path: Path) -> None:
    looked = threading.Semaphore(0)

    def look(losses: int) -> None:
        looked.release()
        raise ValueError("a bug")

    options = Options(poll_seconds=0.05, alert_seconds=0.05)
    with fake_engine() as engine, running_gateway(tmp_path / "home", engine, options, watch_loop=look):
        assert all(looked.acquire(timeout=30) for _ in range(3))
