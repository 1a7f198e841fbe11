"""Open WebUI's own chats, votes and uploaded files: which are old, which are of one chat, which hold a text, and removing them.

Belongs here: choosing the rows and removing them. Does not belong here: fetching them (openwebui_rows.py), reading votes as
reactions (read_votes.py), or signing in (openwebui_account.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection

import httpx

from correctly_assets.core.errors import PermanentError
from correctly_assets.settings import PlatformSettings
from correctly_assets.workflows.openwebui_account import signed_in
from correctly_assets.workflows.openwebui_rows import Row, export_votes, list_chats, list_files

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
        chats = [row.id for row in list_chats(client) if row.seconds < before]
        votes = [row.id for row in export_votes(client) if row.seconds < before]
        _delete(client, "/api/v1/chats", chats)
        _delete(client, "/api/v1/evaluations/feedback", votes)
        files = [row.id for row in list_files(client) if row.seconds < before]
        _delete(client, "/api/v1/files", files)
    return len(chats), len(votes)


def remove_chats(platform: PlatformSettings, ids: Collection[str]) -> int:
    """Remove the chats of these ids, and the votes given in them. Returns how many chats there were.

    Raises:
        as `remove_old_chats`.
    """
    with signed_in(platform, timeout=_PATIENCE) as client:
        chats = [row.id for row in list_chats(client) if row.id in ids]
        votes = [row.id for row in export_votes(client) if row.meta.chat_id in ids]
        _delete(client, "/api/v1/chats", chats)
        _delete(client, "/api/v1/evaluations/feedback", votes)
    return len(chats)


def chats_holding(platform: PlatformSettings, texts: Collection[str]) -> list[str]:
    """The ids of the chats in which one of the texts stands, in a message or in a vote's snapshot of it.

    Raises:
        as `remove_old_chats`.
    """
    with signed_in(platform, timeout=_PATIENCE) as client:
        found = {row.id for row in list_chats(client) if _holds(row, texts)}
        found |= {row.meta.chat_id for row in export_votes(client) if _holds(row, texts)}
    return sorted(found)


def _holds(row: Row, texts: Collection[str]) -> bool:
    whole = json.dumps(row.model_dump(mode="json"), ensure_ascii=False)
    return any(json.dumps(text, ensure_ascii=False)[1:-1] in whole for text in texts)


def _delete(client: httpx.Client, path: str, ids: Collection[str]) -> None:
    for id in ids:
        answer = client.delete(f"{path}/{id}")
        if answer.status_code not in (200, 404):
            raise PermanentError(f"Open WebUI does not remove {path}/{id} ({answer.status_code}).")
