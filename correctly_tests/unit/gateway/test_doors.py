"""What the gateway refuses before it does anything, asked over real sockets."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

EVIL = {"Origin": "http://evil.example"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("doors"), engine) as running:
        yield running


def ask(running: Running, method: str, path: str, **more: object) -> httpx.Response:
    return httpx.request(method, f"{running.url}{path}", trust_env=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/docs", "/metrics", "/no-such-page"])
def test_no_route_answers_under_a_foreign_name(gateway: Running, path: str) -> None:
    answer = ask(gateway, "GET", path, headers={"Host": "evil.example"})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "foreign_host"


@pytest.mark.parametrize("path", ["/v1/examples", "/v1/feedback", "/v1/corrections", "/v1/chat/completions"])
def test_another_pages_post_lands_nothing_and_its_preflight_is_refused(gateway: Running, path: str) -> None:
    row = {"before": "He go.", "after": "He goes."}
    for headers in (EVIL, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
        answer = ask(gateway, "POST", path, json=[row], headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "foreign_origin"
    preflight = ask(gateway, "OPTIONS", path, headers={**EVIL, "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 403
    assert not [name for name in preflight.headers if name.startswith("access-control")]
    assert gateway.store.counts().landed == 0


def test_no_route_that_can_be_read_changes_anything(gateway: Running) -> None:
    # Everything that changes something is a POST, which the checks above hold for.
    routes = [r for r in gateway.app.routes if getattr(r, "methods", None)]
    reading = {
        "/v1/models",
        "/v1/models/{name}",
        "/healthz",
        "/readyz",
        "/metrics",
        "/dashboard",
        "/docs",
        "/openapi.json",
    }
    reading |= {"/v2/languages", "/v1/files", "/v1/files/{file_id}", "/v1/files/{file_id}/content"}
    reading |= {f"/v1/fine_tuning/jobs{rest}" for rest in ("", "/{job_id}", "/{job_id}/events")}
    found = {r.path for r in routes if "GET" in r.methods}  # type: ignore[attr-defined]
    assert {path for path in found if not path.startswith(("/static", "/docs"))} <= reading
