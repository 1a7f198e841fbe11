"""What a person is shown once the loop has closed: the champion's scores, and three awkward sentences corrected.

Belongs here: the tables and lines. Does not belong here: when they are shown (up.py), or corrections themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from correctly_assets.artifacts.reports import ReleaseScores
from correctly_assets.core.errors import UnreachableError
from correctly_assets.core.types import CorrectionJson, Skipped
from correctly_assets.correction.left_alone import left_alone
from correctly_assets.gateway.own_key import bearer
from correctly_assets.settings import Settings

if TYPE_CHECKING:
    from correctly_assets.store import Store

AWKWARD = (
    "I am agree with you, but yesterday I didn't knew it.",
    "She suggested me to take the bus because it don't cost many money.",
    "If I will have time, I would like visiting to my grandmother on the next week.",
)


def show_scores(store: Store, console: Console) -> None:
    """A small table of base model against adapter, as the champion's gate measured them."""
    champion = store.champion()
    if champion is None or not (systems := ReleaseScores.model_validate(champion.scores).systems):
        return
    table = Table(
        title=f"Adapter {champion.adapter} ({champion.id}) on the frozen evaluation set", title_justify="left"
    )
    for head in ("System", "GLEU", "F0.5", "correct sentences changed"):
        table.add_column(head, justify="left" if head == "System" else "right")
    for name, scores in systems.items():
        row = (scores.gleu, scores.errant_f05, scores.overcorrected)
        table.add_row(
            name, *(f"{value:.1f}{' %' if i == 2 else ''}" if value is not None else "–" for i, value in enumerate(row))
        )
    console.print(table)


def show_corrections(settings: Settings, console: Console) -> None:
    """Correct three awkward sentences, which are in no example, through the gateway, and print them.

    Raises:
        UnreachableError: the gateway does not answer.
    """
    try:
        answer = httpx.post(
            f"{settings.platform.gateway_url}/v1/corrections",
            json={"text": list(AWKWARD), "reasons": True},
            headers=bearer(settings),
            timeout=120,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"The gateway did not correct three sentences ({error}). See `correctly logs gateway`."
        ) from error
    print_corrections(answer.json()["corrections"], console)


def print_corrections(corrections: Sequence[CorrectionJson], console: Console) -> None:
    """Before / After / Why, one block a text, with a note on what was left alone."""
    for item in corrections:
        console.print(f"\n[bold]Before[/]  {escape(item['before'])}", highlight=False)
        if not item["changed"]:
            kept = f" (kept as it was: {item['fallback']})" if item["fallback"] else ""
            # What was skipped is not called right; the note below names it.
            message = "left as it was" if item.get("skipped") else "nothing to change"
            console.print(f"[bold]After[/]   {message}{kept}", highlight=False)
        else:
            console.print(f"[bold]After[/]   {escape(item['after'])}", highlight=False)
        # Edits that belong together share a reason, which is told once.
        for reason, edits in groupby(item["edits"], key=lambda edit: edit["reason"]):
            changes = ", ".join(f"{edit['was'].strip() or '∅'} → {edit['now'].strip() or '∅'}" for edit in edits)
            why = f": {reason}" if reason else ""
            console.print(f"[bold]Why[/]     {escape(f'{changes}{why}')}", highlight=False)
        skipped = tuple(Skipped(**one) for one in item.get("skipped", ()))
        if line := left_alone(item["before"], skipped, markdown=False):
            console.print(f"[bold]Note[/]    {escape(line)}", highlight=False)
