"""What several assets need of Dagster itself: each other's latest facts, and tables for people.

Belongs here: reading the latest materialization's metadata, Markdown tables, failures. Does not belong here: anything a
room or core should decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from correctly_assets.core.text import in_cell

if TYPE_CHECKING:
    from correctly_assets.core.errors import CorrectlyError

OWNERS = ["team:correctly"]
DATA_VERSION_TAG = "dagster/data_version"
"""What `MaterializeResult(data_version=…)` becomes; a sensor's event can only be given the tag."""
LOOP = "loop"
"""The group of the loop's assets, and of what is measured of an adapter beside it."""
PACKAGE = Path(__file__).resolve().parents[1]


def latest(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, asset: str, name: str) -> str:
    """A text in the metadata of an asset's materialization in this run, or of its latest one where this run made none.

    Raises:
        dagster.Failure: the asset was never materialized.
    """
    key = dg.AssetKey(asset)
    own = context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    made = [entry for entry in own if entry.dagster_event and entry.dagster_event.asset_key == key]
    event = made[-1] if made else context.instance.get_latest_materialization_event(key)
    if event is None or event.asset_materialization is None:
        raise dg.Failure(
            f"`{asset}` was never materialized: materialize it first, or choose Materialize all.", allow_retries=False
        )
    return str(event.asset_materialization.metadata[name].value)


def sources_version(*rooms: str) -> str:
    """An asset's `code_version`: a hash of the sources of the rooms behind it, so that changed code marks it as stale.

    Args:
        rooms: packages, or modules with their ending, below `correctly_assets`.
    """
    digest = hashlib.sha256()
    for room in rooms:
        path = PACKAGE / room
        for source in [path] if path.is_file() else sorted(path.rglob("*.py")):
            digest.update(f"{source.relative_to(PACKAGE)}\0".encode() + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def refused(error: CorrectlyError) -> dg.Failure:
    """A room's error as Dagster shows it: the sentence, without a blind retry."""
    return dg.Failure(str(error), metadata={"kind": type(error).__name__, "code": error.code}, allow_retries=False)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table. A cell shows its text as it is: what would be a picture, a link or markup in it is escaped."""

    def cell(value: Any) -> str:
        return in_cell(str(value if value is not None else ""))

    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))
