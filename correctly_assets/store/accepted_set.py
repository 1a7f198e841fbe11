"""What changes the set of accepted rows, inside a transaction that somebody else has opened.

Belongs here: saying that the set changed, and erasing an example's text. Does not belong here: landing (examples.py), holding
(quarantine.py), or what else forgetting reaches (forget.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

from correctly_assets.core.text import text_sha
from correctly_assets.store.corrections import erase_answers


def touch_accepted(connection: Connection, landed_at: str | None = None) -> None:
    """Say that the set of accepted rows changed; every statement that changes it must be followed by this."""
    connection.execute(
        text(
            "UPDATE accepted_state SET revision = revision + 1, last_landed_at = coalesce(:landed_at, last_landed_at) "
            "WHERE id = 'accepted'"
        ),
        {"landed_at": landed_at},
    )


def erase_example(connection: Connection, id: str, now: str) -> int:
    """Remove an example's text inside an open transaction; returns how many journalled answers went with it."""
    row = connection.execute(
        text("SELECT before, after, status FROM correction_script WHERE id = :id"), {"id": id}
    ).first()
    if row is None or row.status == "forgotten":
        return 0
    shas: Sequence[str] = [text_sha(row.before)]
    answers = erase_answers(connection, shas, id)
    connection.execute(
        text(
            "UPDATE correction_script SET before = '', after = NULL, reason = NULL, reasons = '[]', edits = NULL, "
            "style = NULL, speaker = NULL, key_expressions = '[]', status = 'forgotten', accepted_at = NULL, "
            "forgotten_at = :now WHERE id = :id"
        ),
        {"id": id, "now": now},
    )
    connection.execute(
        text("UPDATE text_repository SET topic = NULL, source_file = NULL, source_line = NULL WHERE id = :id"),
        {"id": id},
    )
    connection.execute(
        text(
            "UPDATE quarantine SET row_json = '{}', state = CASE state WHEN 'open' THEN 'dropped' ELSE state END, "
            "settled_at = coalesce(settled_at, :now) WHERE example_id = :id"
        ),
        {"id": id, "now": now},
    )
    touch_accepted(connection)
    return answers
