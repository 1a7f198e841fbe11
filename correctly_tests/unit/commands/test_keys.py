"""`correctly keys`, and a gateway that is opened to a network without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from correctly_assets.core.errors import PermanentError
from correctly_assets.gateway.access import Keys, UnauthorizedError, new_key
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_tests.commands import Run


def test_a_key_is_made_listed_and_taken_away(run: Run, settings: Settings) -> None:
    code, out, _ = run("keys", "new", "ann", "--mode", "fluent", "--reason-language", "ko", "--json")
    key = json.loads(out)["key"]
    path = settings.platform.keys_path
    assert code == 0 and key not in path.read_text() and path.stat().st_mode & 0o077 == 0
    client = Keys(path).client(f"Bearer {key}", "")
    assert (client.name, client.mode, client.reason_language) == ("ann", "fluent", "ko")
    [listed] = json.loads(run("keys", "list", "--json")[1])
    assert listed["name"] == "ann" and listed["at"] and "sha256" not in listed
    assert "ann" in run("keys", "list")[1]
    assert json.loads(run("keys", "revoke", "ann", "--json")[1]) == {"name": "ann", "revoked": True}
    with pytest.raises(UnauthorizedError):
        Keys(path).client(f"Bearer {key}", "")


@pytest.mark.parametrize("name", ["platform", "open-webui", "net-1", "", "[/b]", "a" * 65])
def test_a_name_that_is_the_platforms_own_or_unreadable_is_refused(run: Run, settings: Settings, name: str) -> None:
    assert run("keys", "new", name)[0] == 2
    assert not settings.platform.keys_path.exists()


def test_a_key_that_nobody_has_cannot_be_taken_away(run: Run) -> None:
    code, _, err = run("keys", "revoke", "bob")
    assert code == 2 and "no key named bob" in err


def test_of_many_keys_made_at_once_none_is_lost(settings: Settings) -> None:
    path = settings.platform.keys_path
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: new_key(path, f"c{n}"), range(24)))
    assert len(json.loads(path.read_text())) == 24


def test_what_a_keys_file_holds_besides_stays_in_it(settings: Settings) -> None:
    path = settings.platform.keys_path
    new_key(path, "ann", may_train=True)
    kept = json.loads(path.read_text())
    kept["ann"]["note"] = "of the second floor"
    path.write_text(json.dumps(kept))
    new_key(path, "bob")
    assert json.loads(path.read_text())["ann"] == kept["ann"]


@pytest.mark.parametrize(
    ("text", "where"),
    [("[1", "JSON"), ('{"ann": {}}', "ann: sha256"), ('{"ann": {"sha256": "x", "mode": "bold"}}', "mode")],
)
def test_a_keys_file_that_cannot_be_read_says_where(settings: Settings, text: str, where: str) -> None:
    path = settings.platform.keys_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(PermanentError, match=rf"cannot be read \(.*{where}.*repair or remove it"):
        Keys(path).client("Bearer x", "")


def test_a_keys_file_taken_away_beyond_loopback_lets_nobody_in(settings: Settings) -> None:
    keys = Keys(settings.platform.keys_path, required=True)
    with pytest.raises(UnauthorizedError):
        keys.client(None, "net-1")
    with pytest.raises(UnauthorizedError):
        keys.client("Bearer x", "net-1")


def test_beyond_loopback_neither_gateway_nor_platform_starts_without_a_key(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRECTLY_HOST", "0.0.0.0")
    code, _, err = run("up", "--once")
    assert code == 2 and "correctly keys new" in err and not settings.platform.home.exists()
    env = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "correctly_assets.gateway"], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "correctly keys new" in done.stderr
