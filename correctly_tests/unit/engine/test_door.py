"""Who is let in to the engine, and which of our clients shows its key."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rich.console import Console

from correctly_assets.core.errors import UnreachableError
from correctly_assets.defs.resources import make_resources
from correctly_assets.engine.key import KEY_FILE, engine_key, engine_key_path
from correctly_assets.engine.launch import vllm_command
from correctly_assets.engine.vllm_client import VllmClient
from correctly_assets.engine.vllm_plugin import health
from correctly_assets.engine.vllm_plugin.door import EngineDoor
from correctly_assets.gateway.build_parts import build_parts
from correctly_assets.gateway.options import Options
from correctly_assets.platform import compose
from correctly_assets.platform.engine_session import running_engine
from correctly_assets.platform.processes import BY_NAME
from correctly_assets.settings import Settings
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_tests.serving_fakes import FakeEngine, fake_engine

DOOR = "correctly_assets.engine.vllm_plugin.door.EngineDoor"
EVIL = {"Origin": "http://evil.example"}


@pytest.fixture
def at_home(tmp_path: Path) -> Settings:
    return Settings().changed(platform={"home": tmp_path / "home"})


@pytest.fixture
def engine(at_home: Settings) -> Iterator[FakeEngine]:
    """An engine that asks for the key of the platform in ``at_home``."""
    with fake_engine(engine_key(at_home.platform.home)) as running:
        yield running


def engine_app() -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    @app.get("/metrics")
    @app.get("/v1/models")
    @app.post("/tokenize")
    @app.post("/v1/load_lora_adapter")
    def answer() -> str:
        return "here"

    return app


def behind_the_door() -> TestClient:
    app = engine_app()
    app.add_middleware(EngineDoor)
    return TestClient(app, base_url="http://127.0.0.1:8001")


def test_every_route_but_health_and_counters_asks_for_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    client, shown = behind_the_door(), {"Authorization": "Bearer secret"}
    assert client.get("/health").status_code == client.get("/metrics").status_code == 200
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers={"Authorization": "Bearer s"}).status_code == 401
    assert client.get("/v1/models", headers=shown).status_code == 200
    for path in ("/tokenize", "/v1/load_lora_adapter"):
        assert client.post(path, json={}).status_code == 401
        assert client.post(path, json={}, headers=shown).status_code == 200


def test_the_engine_answers_no_foreign_name_and_no_foreign_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    client, shown = behind_the_door(), {"Authorization": "Bearer secret"}
    for path in ("/health", "/v1/models"):
        assert client.get(path, headers={**shown, "Host": "evil.example"}).status_code == 421
    assert client.post("/v1/load_lora_adapter", json={}, headers={**shown, **EVIL}).status_code == 403


def test_in_compose_the_engine_knows_its_service_name_and_reads_the_key(
    at_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = at_home.platform.home
    for name in ("vllm-cpu", "vllm-gpu"):
        given = compose.render()["services"][name]["environment"]
        assert given[KEY_FILE] == str(engine_key_path(Path(given["CORRECTLY_HOME"])))
        monkeypatch.setenv("CORRECTLY_VLLM_HOST", given["CORRECTLY_VLLM_HOST"])
    monkeypatch.setenv(KEY_FILE, str(engine_key_path(home)))
    with pytest.raises(SystemExit, match="cannot be read"):
        EngineDoor(engine_app())
    shown = {"Authorization": f"Bearer {engine_key(home)}"}
    client = behind_the_door()
    assert client.get("/v1/models", headers={**shown, "Host": "vllm:8001"}).status_code == 200
    assert client.get("/v1/models", headers={**shown, "Host": "evil.example"}).status_code == 421
    assert client.get("/v1/models").status_code == 401


def test_the_key_is_its_owners_alone_and_in_no_command_line(at_home: Settings) -> None:
    key, path = engine_key(at_home.platform.home), engine_key_path(at_home.platform.home)
    assert engine_key(at_home.platform.home) == key and len(key) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    argv, environment = BY_NAME["vllm"].command(at_home)
    assert not any(key in part for part in (*argv, *environment.values()))
    assert BY_NAME["vllm"].private(at_home) == {"VLLM_API_KEY": key}
    resource = make_resources(at_home)["engine"]
    assert key not in repr(resource) and key not in repr(DirectEngine.of(at_home))


def clients(settings: Settings) -> dict[str, Callable[[], Any]]:
    """Every way in which our own parts make a client of the engine."""
    return {
        "settings": lambda: VllmClient.of(settings),
        "workflows": lambda: DirectEngine.of(settings).client(),
        "dagster": lambda: make_resources(settings)["engine"].client(),
    }


@pytest.mark.parametrize("name", ["settings", "workflows", "dagster"])
def test_our_clients_show_the_key(name: str, at_home: Settings, engine: FakeEngine) -> None:
    settings = at_home.changed(serving={"vllm_port": engine.port})

    async def ask() -> dict[str, str]:
        async with clients(settings)[name]() as client:
            return await client.models()

    assert "base" in asyncio.run(ask())


def test_a_commands_engine_session_shows_the_key(at_home: Settings, engine: FakeEngine) -> None:
    settings = at_home.changed(serving={"vllm_port": engine.port})

    async def ask() -> dict[str, str]:
        async with running_engine(settings, Console(quiet=True)) as found, found.client() as client:
            return await client.models()

    assert "base" in asyncio.run(ask())


@pytest.mark.slow
def test_the_gateway_shows_the_key(at_home: Settings, engine: FakeEngine) -> None:
    parts = build_parts(at_home.changed(serving={"vllm_port": engine.port}), Options())
    try:
        asyncio.run(parts.engine.look(None))
        assert "base" in parts.engine.known
    finally:
        parts.close()


def test_an_engine_of_another_platform_is_away_and_condemns_no_adapter(engine: FakeEngine) -> None:
    async def ask() -> None:
        async with VllmClient(engine.url, key="another") as client:
            assert await client.is_ready()
            await client.load_adapter("a", Path("/nowhere"))

    with pytest.raises(UnreachableError, match="does not take this platform's key"):
        asyncio.run(ask())


def test_the_containers_health_check_needs_no_key(engine: FakeEngine) -> None:
    assert health.check(engine.url, 0) is None


@pytest.mark.slow
def test_vllm_puts_the_door_before_its_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    register = pytest.importorskip("vllm.entrypoints.serve.middleware.register")
    argv, environment = vllm_command("m", port=1, chat_template=Path("t"), device="cpu", python=sys.executable)
    assert argv[argv.index("--middleware") + 1] == DOOR
    assert environment["CORRECTLY_VLLM_HOST"] == "127.0.0.1"
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    app = engine_app()
    given = {
        "allowed_origins": ["*"], "allow_credentials": False, "allowed_methods": ["*"], "allowed_headers": ["*"],
        "api_key": None, "enable_request_id_headers": False, "middleware": [DOOR],
    }  # fmt: skip
    register.init_entrypoints_middleware(argparse.Namespace(**given), app, ())
    client = TestClient(app, base_url="http://127.0.0.1:8001")
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/models", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 421
