"""What foreign pages can do with Dagster, MLflow and Open WebUI: the real servers, each on a port of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.platform.dagster_instance import write_instance
from correctly_assets.platform.openwebui import VENV
from correctly_assets.platform.processes import BY_NAME, common_environment
from correctly_assets.settings import Settings
from correctly_tests.serving_fakes import free_port

EVIL = {"Origin": "http://evil.example"}


@contextmanager
def running(settings: Settings, name: str) -> Iterator[str]:
    """One part as the supervisor starts it, once it answers: its URL."""
    part = BY_NAME[name]
    argv, extra = part.command(settings)
    home = settings.platform.home
    for folder in (home / "mlflow", home / "webui"):
        folder.mkdir(parents=True, exist_ok=True)
    given = settings.platform
    ours = {
        "CORRECTLY_DAGSTER_PORT": str(given.dagster_port),
        "CORRECTLY_DAGSTER_HOST": given.dagster_host,
    }
    env = {**common_environment(given), **extra, **part.private(settings), **ours}
    env.pop("CORRECTLY_SUPERVISED")
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, cwd=home, stdout=log, stderr=log, start_new_session=True)
    url = part.url(settings) or ""
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                if httpx.get(url + part.health, timeout=5, trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None and time.monotonic() < deadline, (home / f"{name}.log").read_text()[-3000:]
            time.sleep(0.3)
        yield url
    finally:
        os.killpg(process.pid, 15)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def ask(method: str, url: str, headers: dict[str, str], **more: object) -> int:
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=30, **more).status_code  # type: ignore[arg-type]


@pytest.mark.slow
def test_dagster_runs_no_mutation_for_another_page_and_by_no_get(settings: Settings) -> None:
    settings = settings.changed(platform={"dagster_port": free_port()})
    write_instance(settings)
    with running(settings, "webserver") as url:
        mutation = {"query": "mutation { setNuxSeen }"}
        assert ask("GET", f"{url}/server_info", {"Host": "evil.example"}) == 421
        assert ask("GET", f"{url}/graphql", {}, params=mutation) == 405
        assert ask("POST", f"{url}/graphql", {}, params=mutation) == 405
        assert ask("POST", f"{url}/graphql", {"Content-Type": "text/plain"}, content=b'{"query":"{version}"}') == 415
        assert ask("POST", f"{url}/graphql", EVIL, json=mutation) == 403
        assert ask("POST", f"{url}/graphql", {"Origin": url}, json={"query": "{version}"}) == 200
        port = settings.platform.dagster_port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
            link.sendall(
                f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            assert b" 403 " in link.recv(200).split(b"\r\n", 1)[0]


@pytest.mark.slow
def test_dagster_beyond_loopback_asks_for_a_key_of_the_gateways(settings: Settings) -> None:
    settings = settings.changed(platform={"dagster_port": free_port(), "dagster_host": "0.0.0.0"})
    write_instance(settings)
    with running(settings, "webserver") as url:
        question = {"query": "{version}"}
        assert ask("POST", f"{url}/graphql", {}, json=question) == 401
        key = new_key(settings.platform.keys_path, "ann")
        assert ask("POST", f"{url}/graphql", {}, json=question) == 401
        assert ask("POST", f"{url}/graphql", {"Authorization": f"Bearer {key}"}, json=question) == 200
        assert ask("POST", f"{url}/graphql", {}, json=question, auth=("anybody", key)) == 200
        assert ask("POST", f"{url}/graphql", {}, json=question, auth=("anybody", "wrong")) == 401


@pytest.mark.slow
def test_mlflow_answers_to_its_own_names_alone(settings: Settings) -> None:
    settings = settings.changed(platform={"mlflow_port": free_port()})
    with running(settings, "mlflow") as url:
        path, body = f"{url}/api/2.0/mlflow/experiments/search", {"max_results": 1}
        assert ask("POST", path, {}, json=body) == 200
        for host in ("evil.example", "10.evil.example:5000", "192.168.evil.example"):
            assert ask("POST", path, {"Host": host}, json=body) == 403
        assert ask("POST", path, EVIL, json=body) == 403


@pytest.mark.slow
@pytest.mark.skipif(not (VENV / "bin" / "python").exists(), reason="Open WebUI is not installed")
def test_the_chat_page_gives_a_session_to_none_but_its_own_page(settings: Settings) -> None:
    settings = settings.changed(platform={"webui_port": free_port()})
    with running(settings, "open-webui") as url:
        signin, nobody = f"{url}/api/v1/auths/signin", {"email": "", "password": ""}
        assert ask("GET", f"{url}/api/config", {"Host": "evil.example"}) == 421
        assert ask("POST", signin, EVIL, json=nobody) == 403
        assert ask("POST", signin, {"Origin": url}, json=nobody) == 200
        database = settings.platform.home / "webui" / "webui.db"
        assert Path(database).stat().st_mode & 0o077 == 0
