"""Train sets: the deduplicated, split and weighted pairs that an adapter is trained on, as a Parquet directory.

Belongs here: staging pairs, running sql/queries/train_set*.sql over them with DuckDB, reading a train set back. Does
not belong here: writing pairs (teachers/) or judging them (curation/).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from correctly_assets.artifacts.duckdb_queries import fetch_rows, is_disk_error, open_duckdb, quoted, read_query
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.snapshots import TRAIN_FILE, Snapshot, disk_error, write_snapshot
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.text import slices, split_of, text_sha
from correctly_assets.core.types import Edit, TrainPair

TRAIN_FORMAT = 1
THUMB_SHARE = 0.2
COLUMNS = ("id", "example_id", "origin", "before", "after", "edits", "weight", "split", "language", "form")
_STAGE_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class TrainSetCounts:
    """What a train set is made of, for the asset's metadata.

    Attributes:
        origins: {origin: pairs}; ``weights``: {origin: weight}; ``splits``: {split: pairs}.
        error_types: {ERRANT type without its operation: edits}, most first.
    """

    pairs: int
    weight: int
    origins: Mapping[str, int]
    weights: Mapping[str, int]
    splits: Mapping[str, int]
    error_types: Mapping[str, int]


def write_train_set(
    pairs: Iterable[TrainPair],
    directory: Path,
    made_from: TrainSetManifest,
    *,
    sql_dir: Path,
    human_weight: int = 8,
    held_out_percent: int = 5,
    splits: Mapping[str, str] | None = None,
) -> Snapshot[TrainSetManifest]:
    """Deduplicate, split and weight pairs and write them as ``directory/ID/train.parquet``.

    The pairs are staged in Parquet and worked on by an in-memory DuckDB, so their number is not bound by memory.
    Columns: id, example_id, origin, before, after, edits (JSON list of edits), weight, split, language, form,
    source_sha. The same pairs in any order give the same ID.

    Args:
        made_from: provenance for the manifest (teacher, seed, snapshot of examples); the figures are added to it.
        human_weight: how often a verified human correction is seen.
        held_out_percent: share of sources that are held out, by hash of the normalised source.
        splits: {pair id: split} where a near-duplicate inherited one (curation/near.py); the hash decides for the rest.

    Raises:
        PermanentError: the disk is full or cannot be written (nothing is left behind), or two pairs share an id.
    """
    manifest = made_from.model_copy(
        update={
            "kind": "train_set",
            "format": TRAIN_FORMAT,
            "human_weight": human_weight,
            "held_out_percent": held_out_percent,
        }
    )
    directory.mkdir(parents=True, exist_ok=True)

    def fill(work: Path) -> None:
        with TemporaryDirectory(prefix=".stage-", dir=directory) as stage:
            staged = Path(stage) / "staged.parquet"
            manifest.staged = _stage(pairs, staged, held_out_percent, splits or {})
            manifest.rows, manifest.row_digest = _deduplicate(staged, work / TRAIN_FILE, sql_dir, human_weight)
        if fetch_rows(read_query(sql_dir, "train_set_straddles"), work / TRAIN_FILE):
            raise PermanentError("The same source stands in both splits; a near-duplicate was given the wrong one.")

    try:
        return write_snapshot(directory, fill, content=[TRAIN_FILE], manifest=lambda: manifest)
    except duckdb.Error as error:
        if is_disk_error(error):
            raise PermanentError(f"There is no room left under {directory}; free some space and run again.") from error
        raise
    except OSError as error:
        raise disk_error(error, directory) from error


def _deduplicate(staged: Path, target: Path, sql_dir: Path, human_weight: int) -> tuple[int, str]:
    """Run sql/queries/train_set.sql over the staged pairs and write what it leaves; returns (rows, their digest)."""
    rows = 0
    with open_duckdb(staged.parent) as connection:
        connection.execute(f"CREATE VIEW staged AS SELECT * FROM read_parquet('{quoted(staged)}')")
        twice = connection.execute("SELECT id FROM staged GROUP BY id HAVING count(*) > 1 LIMIT 1").fetchone()
        if twice:
            raise PermanentError(f"Two train pairs share the id {twice[0]}; the teacher must give each its own.")
        connection.execute(read_query(sql_dir, "train_set"), {"human_weight": human_weight, "thumb_share": THUMB_SHARE})
        reader = connection.to_arrow_reader(_STAGE_ROWS)
        with pq.ParquetWriter(target, _schema(), compression="zstd") as writer:
            for batch in reader:
                writer.write_table(pa.Table.from_batches([batch]).cast(_schema()))
                rows += batch.num_rows
        [[digest]] = connection.execute(read_query(sql_dir, "train_set_digest"), {"path": str(target)}).fetchall()
    return rows, digest


def read_train_set(path: Path) -> Iterator[TrainPair]:
    """The pairs of a train set, in the order of their ids.

    Args:
        path: the train set's directory.

    Raises:
        PermanentError: the directory holds no train set.
    """
    try:
        file = pq.ParquetFile(path / TRAIN_FILE)
    except (OSError, ValueError) as error:
        raise PermanentError(f"{path} holds no readable train set; materialize train_set again.") from error
    with file:
        for batch in file.iter_batches(batch_size=_STAGE_ROWS, columns=list(COLUMNS)):
            for row in batch.to_pylist():
                form = row["form"]
                yield TrainPair(
                    id=row["id"],
                    example_id=row["example_id"],
                    origin=row["origin"],
                    before=row["before"],
                    after=row["after"],
                    edits=tuple(Edit(**edit) for edit in json.loads(row["edits"])),
                    weight=row["weight"],
                    split=row["split"],
                    language=row["language"],
                    attributes={"form": form} if form else {},
                )


def count_train_set(path: Path, *, sql_dir: Path) -> TrainSetCounts:
    """What a train set is made of: pairs and weight by origin and split, edits by error type."""
    origins: dict[str, int] = {}
    weights: dict[str, int] = {}
    splits: dict[str, int] = {}
    for origin, split, pairs, weight in fetch_rows(read_query(sql_dir, "train_set_counts"), path / TRAIN_FILE):
        origins[origin] = origins.get(origin, 0) + pairs
        weights[origin] = weights.get(origin, 0) + int(weight)
        splits[split] = splits.get(split, 0) + pairs
    types = dict(fetch_rows(read_query(sql_dir, "train_set_error_types"), path / TRAIN_FILE))
    return TrainSetCounts(sum(origins.values()), sum(weights.values()), origins, weights, splits, types)


def _stage(pairs: Iterable[TrainPair], path: Path, held_out_percent: int, splits: Mapping[str, str]) -> int:

    count = 0
    with pq.ParquetWriter(path, _schema(), compression="zstd") as writer:
        for chunk in slices(pairs, _STAGE_ROWS):
            rows = [
                {
                    "id": pair.id,
                    "example_id": pair.example_id,
                    "origin": pair.origin,
                    "before": pair.before,
                    "after": pair.after,
                    "edits": json.dumps([edit.to_json() for edit in pair.edits], ensure_ascii=False),
                    "weight": pair.weight,
                    "split": splits.get(pair.id) or split_of(pair.before, held_out_percent),
                    "language": pair.language,
                    "form": pair.attributes.get("form"),
                    "source_sha": text_sha(pair.before),
                }
                for pair in chunk
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=_schema()))
            count += len(rows)
    return count


def _schema() -> pa.Schema:
    texts = {name: pa.string() for name in COLUMNS} | {"weight": pa.int32()}
    return pa.schema([*((name, texts[name]) for name in COLUMNS), ("source_sha", pa.string())])
