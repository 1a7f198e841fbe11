"""Open WebUI's own chats, votes and uploaded files: which are old, which are of one chat, which hold a text, and removing them.

Belongs here: what of Open WebUI's API that takes (open-webui 0.12.4). Does not belong here: reading votes as reactions
(read_votes.py), or signing in (openwebui_account.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import httpx

from correctly_assets.core.errors import PermanentError
from correctly_assets.settings import PlatformSettings
from correctly_assets.workflows.openwebui_account import signed_in
from correctly_assets.workflows.read_votes import EXPORTED_VOTES

_PATIENCE = 120.0
"""Seconds for one answer: all chats come in one."""


def is_here(platform: PlatformSettings) -> bool:
    """Whether there is a chat page: one that has run in this HOME, or one in a container of its own."""
    return platform.webui_host is not None or (platform.home / "webui" / "webui.db").is_file()


def remove_old_chats(platform: PlatformSettings, before: float) -> tuple[int, int]:
    """Remove chats, votes with their snapshots, and uploaded files that nobody has changed since a time.

    Args:
        before: seconds since 1970.

    Returns:
        How many chats, and how many votes, went.

    Raises:
        UnreachableError: Open WebUI is away; PermanentError: it does not let us.
    """
    with signed_in(platform, timeout=_PATIENCE) as client:
        chats = [row["id"] for row in _chats(client) if _seconds(row) < before]
        votes = [row["id"] for row in _votes(client) if _seconds(row) < before]
        _delete(client, "/api/v1/chats", chats)
        _delete(client, "/api/v1/evaluations/feedback", votes)
        files = [row["id"] for row in _files(client) if _seconds(row) < before]
        _delete(client, "/api/v1/files", files)
    return len(chats), len(votes)


def remove_chats(platform: PlatformSettings, ids: Collection[str]) -> int:
    """Remove the chats of these ids, and the votes given in them. Returns how many chats there were.

    Raises:
        as `remove_old_chats`.
    """
    with signed_in(platform, timeout=_PATIENCE) as client:
        chats = [row["id"] for row in _chats(client) if row["id"] in ids]
        votes = [row["id"] for row in _votes(client) if str((row.get("meta") or {}).get("chat_id")) in ids]
        _delete(client, "/api/v1/chats", chats)
        _delete(client, "/api/v1/evaluations/feedback", votes)
    return len(chats)


def chats_holding(platform: PlatformSettings, texts: Collection[str]) -> list[str]:
    """The ids of the chats in which one of the texts stands, in a message or in a vote's snapshot of it.

    Raises:
        as `remove_old_chats`.
    """
    with signed_in(platform, timeout=_PATIENCE) as client:
        found = {str(row["id"]) for row in _chats(client) if _holds(row, texts)}
        found |= {str((row.get("meta") or {}).get("chat_id")) for row in _votes(client) if _holds(row, texts)}
    return sorted(found)


def _holds(row: Mapping[str, Any], texts: Collection[str]) -> bool:
    whole = json.dumps(row, ensure_ascii=False)
    return any(json.dumps(text, ensure_ascii=False)[1:-1] in whole for text in texts)


def _chats(client: httpx.Client) -> list[dict[str, Any]]:
    return _rows(client, "/api/v1/chats/all/db", "its chats")


def _votes(client: httpx.Client) -> list[dict[str, Any]]:
    return _rows(client, EXPORTED_VOTES, "its votes")


def _files(client: httpx.Client) -> Iterator[dict[str, Any]]:
    page = 1
    while True:
        answer = client.get("/api/v1/files/", params={"content": "false", "page": page})
        items = answer.json().get("items", []) if answer.status_code == 200 else []
        yield from items
        if not items:
            return
        page += 1


def _rows(client: httpx.Client, path: str, what: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    if answer.status_code != 200:
        raise PermanentError(f"Open WebUI does not show {what} ({answer.status_code}).")
    return list(answer.json())


def _seconds(row: Mapping[str, Any]) -> float:
    at = float(row.get("updated_at") or row.get("created_at") or 0)
    # Some of its tables count in nanoseconds.
    return at / 1e9 if at > 1e12 else at


def _delete(client: httpx.Client, path: str, ids: Collection[str]) -> None:
    for id in ids:
        answer = client.delete(f"{path}/{id}")
        if answer.status_code not in (200, 404):
            raise PermanentError(f"Open WebUI does not remove {path}/{id} ({answer.status_code}).")
