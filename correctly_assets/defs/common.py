"""What several assets need of Dagster itself: each other's latest facts, and tables for people.

Belongs here: reading the latest materialization's metadata, Markdown tables, failures. Does not belong here: anything a
room or core should decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from correctly_assets.core.errors import CorrectlyError

OWNERS = ["team:correctly"]


def latest(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, asset: str) -> dict[str, Any]:
    """The plain metadata of an asset's latest materialization, this run's own first.

    Raises:
        dagster.Failure: the asset was never materialized.
    """
    event = context.instance.get_latest_materialization_event(dg.AssetKey(asset))
    if event is None or event.asset_materialization is None:
        raise dg.Failure(
            f"`{asset}` was never materialized: materialize it first, or choose Materialize all.", allow_retries=False
        )
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def refused(error: CorrectlyError) -> dg.Failure:
    """A room's error as Dagster shows it: the sentence, without a blind retry."""
    return dg.Failure(str(error), metadata={"kind": type(error).__name__, "code": error.code}, allow_retries=False)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; bars and line breaks in cells are escaped."""

    def cell(value: Any) -> str:
        return str(value if value is not None else "").replace("|", "\\|").replace("\n", " ")

    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))
