"""Host, Origin and Sec-Fetch-*: which requests a browser may send here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from correctly_assets.core.host_check import HostCheck, why_refused

OWN = ("host", "127.0.0.1:8080")


def refused(*headers: tuple[str, str], method: str = "POST", **more: Any) -> int | None:
    sent = [(name.encode(), value.encode()) for name, value in headers]
    found = why_refused(method, sent, {"write.school.example"}, **more)
    return found[0] if found else None


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:8080", "[::1]:8080", "write.school.example"]
)
def test_a_request_under_a_name_of_ours_is_answered(host: str) -> None:
    assert refused(("host", host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "10.evil.example:80",
        "",
        "localhost.",
        "192.168.1.5:8080",
        "a@localhost",
    ],
)
def test_a_request_under_a_foreign_name_is_refused(host: str) -> None:
    assert refused(("host", host)) == 421
    assert refused(("host", host), method="GET") == 421


def test_no_host_and_two_hosts_are_refused() -> None:
    assert refused() == 421
    assert refused(OWN, ("host", "evil.example")) == 421


def test_beyond_loopback_every_address_is_ours_and_no_other_name() -> None:
    assert refused(("host", "192.168.1.5:8080"), any_address=True) is None
    assert refused(("host", "[fd00::5]:8080"), any_address=True) is None
    assert refused(("host", "192.168.evil.example"), any_address=True) == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:9999", "http://127.0.0.1", "file://"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_a_page_of_another_origin_is_refused(origin: str, method: str) -> None:
    assert refused(OWN, ("origin", origin), method=method) == 403


def test_our_own_pages_may_ask_also_behind_a_proxy_that_adds_tls() -> None:
    assert refused(OWN, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")) is None
    assert refused(("host", "write.school.example"), ("origin", "https://write.school.example")) is None
    assert refused(("host", "write.school.example"), ("origin", "https://write.school.example:443")) is None


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
def test_another_site_may_link_here_and_nothing_else(site: str) -> None:
    link = (("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))
    assert refused(OWN, *link, method="GET") is None
    assert refused(OWN, *link, method="POST") == 403
    picture = (("sec-fetch-site", site), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"))
    assert refused(OWN, *picture, method="GET") == 403
    frame = (("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"))
    assert refused(OWN, *frame, method="GET") == 403


def test_a_websocket_of_another_origin_is_closed_before_it_is_open() -> None:
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"host", b"localhost:3000"), (b"origin", b"http://evil.example")]}
    asyncio.run(HostCheck(app)(scope, None, send))
    assert [message["type"] for message in sent] == ["websocket.close"]
    scope["headers"][1] = (b"origin", b"http://localhost:3000")
    asyncio.run(HostCheck(app)(scope, None, send))
    assert sent[-1]["type"] == "websocket.accept"
