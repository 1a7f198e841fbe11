"""The dashboard in a real browser, at the width of a desk and of a telephone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from correctly_assets.gateway.dashboard import dashboard_page
from correctly_assets.settings import Settings
from correctly_assets.store import open_store
from correctly_tests.unit.gateway.test_dashboard import lived

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways_and_every_picture_is_seen(page: Page, tmp_path: Path, width: int) -> None:
    settings = Settings().changed(platform={"home": tmp_path})
    with open_store(settings.platform.store_url, settings.platform.sql_dir) as store:
        lived(store)
        path = tmp_path / "dashboard.html"
        path.write_text(dashboard_page(store, settings), encoding="utf-8")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate("[...document.images].map(image => [image.naturalWidth, image.clientWidth])")
    assert len(sizes) == 7 and all(natural > 0 and shown > 250 for natural, shown in sizes)
