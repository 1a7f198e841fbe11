"""Reading the examples that a train set is made from out of a snapshot of any size.

Belongs here: queries over the snapshot's file, which hold what they are asked for and no more. Does not belong here: the choice
(core/pool.py), or what is made of it (train_sets.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from correctly_assets.artifacts.duckdb_queries import open_duckdb, read_query
from correctly_assets.artifacts.snapshots import EXAMPLES_FILE
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.hashing import sha256_of
from correctly_assets.core.pool import Standing, drawn, kept_of_each
from correctly_assets.core.types import Example
from correctly_assets.settings import PlatformSettings, Settings
from correctly_assets.store.records import example_from


@dataclass(frozen=True, slots=True)
class Pool:
    """The examples that a train set is made from, in the order of their ids, and how many there were to draw from."""

    examples: list[Example]
    among: int


def read_pool(settings: Settings, snapshot: str, more: Sequence[Example] = ()) -> Pool:
    """The examples of a snapshot that CORRECTLY_TRAIN_PAIRS pairs are made from, drawn by CORRECTLY_SEED.

    Args:
        more: corrected examples that count as if the snapshot held them.

    Raises:
        PermanentError: the snapshot is gone.
    """
    path = _file_of(settings.platform, snapshot)
    most = kept_of_each(settings.training.pairs)
    with open_duckdb() as connection:
        found: list[tuple[str, Standing]] = connection.execute(
            read_query(settings.platform.sql_dir, "pool_candidates"),
            {"path": str(path), "seed": str(settings.training.seed), "most": most},
        ).fetchall()
    added: list[tuple[str, Standing]] = [
        (example.id, _standing(example.before, example.after, example.verified)) for example in more
    ]
    ids = drawn([*found, *added], settings.training.pairs, settings.training.seed)
    with pq.ParquetFile(path) as file:
        among = file.metadata.num_rows
    chosen = [*read_some(settings.platform, snapshot, ids), *(example for example in more if example.id in ids)]
    return Pool(sorted(chosen, key=lambda example: example.id), among + len(more))


def read_recent(settings: Settings, snapshot: str, new: Sequence[str], replay: int) -> Pool:
    """The examples that training from the champion is shown: all new ones, and some of those that it has learned from.

    Args:
        new: ids of the examples that no decision has seen.
        replay: how many of the others are drawn, by CORRECTLY_SEED.

    Raises:
        PermanentError: the snapshot is gone.
    """
    pool = read_pool(settings, snapshot)
    fresh = set(new)
    old = sorted(
        (example for example in pool.examples if example.id not in fresh),
        key=lambda example: sha256_of([settings.training.seed, "replay", example.id]),
    )
    chosen = [*read_some(settings.platform, snapshot, sorted(fresh)), *old[:replay]]
    return Pool(sorted(chosen, key=lambda example: example.id), pool.among)


def read_some(platform: PlatformSettings, snapshot: str, ids: Iterable[str]) -> Iterator[Example]:
    """These examples of a snapshot, in the order of their ids; one that it does not hold is left out.

    Raises:
        PermanentError: the snapshot is gone.
    """
    path = _file_of(platform, snapshot)
    with open_duckdb() as connection:
        connection.register("wanted", pa.table({"id": pa.array(list(ids), type=pa.string())}))
        rows = connection.execute(read_query(platform.sql_dir, "examples_of"), {"path": str(path)}).to_arrow_table()
    for row in rows.to_pylist():
        yield example_from(row)


def _standing(before: str, after: str | None, verified: bool) -> Standing:
    return "untouched" if before == after else "verified" if verified else "corrected"


def _file_of(platform: PlatformSettings, snapshot: str) -> Path:
    path = platform.snapshots_dir / snapshot / EXAMPLES_FILE
    if not path.is_file():
        raise PermanentError(f"The snapshot {snapshot} is gone: materialize examples again.")
    return path
