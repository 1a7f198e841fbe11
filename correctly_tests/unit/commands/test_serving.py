"""What the command line tells of releases."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from correctly_assets.cli import app
from correctly_assets.settings import Settings
from correctly_assets.workflows.wiring import open_platform_store


def test_every_release_there_has_been_is_told_with_what_made_it_and_why(settings: Settings) -> None:
    settings.platform.home.mkdir(parents=True)
    with open_platform_store(settings.platform) as store:
        made = [
            store.add_release(adapter=f"a{number:04}", base_model="base", kind="promotion", why=f"reason {number}")
            for number in range(60)
        ]
    told = json.loads(CliRunner().invoke(app, ["releases", "--json"]).stdout)
    assert [(one["release"], one["adapter"], one["why"]) for one in told] == [
        (one.id, one.adapter, one.why) for one in reversed(made)
    ]
    table = CliRunner().invoke(app, ["releases"]).stdout
    assert all(one.id in table for one in made)
