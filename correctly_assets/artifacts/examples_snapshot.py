"""The rows of a snapshot, in order and in pages: from the store alone, or from the snapshot before and what changed.

Belongs here: writing a snapshot of the examples, finding out what changed since the one before, and merging it in. Does not belong
here: naming directories, reading and forgetting (snapshots.py).

Both ways give the same pages, and so the same file: a snapshot's ID does not tell how it was made. Reading and sorting a
million rows afresh for a hundred new ones is what this saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from correctly_assets.artifacts.accepted_rows import ACCEPTED_COLUMNS, STAMP_COLUMNS, AcceptedRows
from correctly_assets.artifacts.duckdb_queries import is_disk_error, open_duckdb, quoted
from correctly_assets.artifacts.manifests import ExamplesManifest, read_manifest
from correctly_assets.artifacts.snapshots import EXAMPLES_FILE, EXAMPLES_FORMAT, Snapshot, write_snapshot
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.retrain import rows_digest

PAGE = 20_000
CHANGED_SHARE = 0.1
"""Above this share of changed rows everything is read afresh: looking rows up one by one costs more than reading on."""


def schema() -> pa.Schema:
    """Columns of ``examples.parquet``."""
    kinds = {"verified": pa.bool_(), "weight": pa.int32()}
    texts = [name for name in ACCEPTED_COLUMNS if name not in kinds]
    return pa.schema([*((name, pa.string()) for name in texts), *kinds.items()])


def table_of(columns: list[list[Any]]) -> pa.Table:
    """One page as the store gives it (``ACCEPTED_COLUMNS``, flags as 0 and 1)."""
    named = dict(zip(ACCEPTED_COLUMNS, columns, strict=True))
    named["verified"] = [value == 1 for value in named["verified"]]
    return pa.table({name: named[name] for name in schema().names}, schema=schema())


def all_pages(store: AcceptedRows, scratch: Path) -> Iterator[pa.Table]:
    """Every accepted row by id, read afresh: in the order of the table, which is fast, and sorted by DuckDB outside memory."""
    staged = scratch / "staged.parquet"
    with pq.ParquetWriter(staged, schema(), compression="lz4") as writer:
        for columns in store.accepted_columns(PAGE):
            writer.write_table(table_of(columns))
    with open_duckdb(scratch) as connection:
        connection.execute("SELECT * FROM read_parquet($path) ORDER BY id", {"path": str(staged)})
        batches = connection.to_arrow_reader(PAGE)
        yield from _pages(pa.Table.from_batches([batch]).cast(schema()) for batch in batches)


def merged_pages(store: AcceptedRows, base: Path) -> Iterator[pa.Table] | None:
    """The same pages out of an earlier snapshot's file and the rows that changed since.

    Returns None where reading afresh is the better way: too much has changed, or a row changed while it was looked up.
    """
    changed = _changes(store, base)
    if changed is None:
        return None
    gone, fresh = changed
    return _pages(_merged(base, gone, fresh))


def write_examples_snapshot(store: AcceptedRows, directory: Path) -> Snapshot[ExamplesManifest]:
    """Write the accepted examples as ``directory/ID/examples.parquet``, in the order of their ids.

    The same rows give the same ID, whenever and in whatever order they landed, and whether they were read afresh or
    merged into the snapshot before (`merged_pages`). The rows are those of one moment, and memory does not grow with them.

    Raises:
        PermanentError: the disk is full or cannot be written; nothing is left behind.
    """
    manifest = ExamplesManifest(kind="examples", format=EXAMPLES_FORMAT)

    def fill(work: Path) -> None:
        with TemporaryDirectory(prefix=".stage-", dir=directory) as scratch:
            base = _newest_examples(directory)
            pages = (merged_pages(store, base) if base else None) or all_pages(store, Path(scratch))
            shas: list[str] = []
            with pq.ParquetWriter(work / EXAMPLES_FILE, schema(), compression="zstd") as writer:
                for page in pages:
                    shas += page["content_sha"].to_pylist()
                    writer.write_table(page)
        manifest.rows, manifest.row_digest = len(shas), rows_digest(shas)

    try:
        return write_snapshot(
            directory,
            fill,
            content=[EXAMPLES_FILE],
            manifest=lambda: manifest,
        )
    except duckdb.Error as error:
        if is_disk_error(error):
            raise PermanentError(f"There is no room left under {directory}; free some space and run again.") from error
        raise


def _newest_examples(directory: Path) -> Path | None:
    """The file of the snapshot of examples that was written last, if there is one that can be read on from."""
    found = [path for path in directory.glob(f"[!.]*/{EXAMPLES_FILE}") if _is_current(path.parent)]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _is_current(directory: Path) -> bool:
    try:
        return read_manifest(directory, ExamplesManifest).format == EXAMPLES_FORMAT
    except PermanentError:
        return False  # whoever asks for that snapshot is told; the next one is simply read afresh


def _changes(store: AcceptedRows, base: Path) -> tuple[frozenset[str], pa.Table] | None:
    """(ids of the base's rows that no longer stand so, the rows that stand now and did not, by id)."""
    parts = [
        pa.table(dict(zip(STAMP_COLUMNS, columns, strict=True))).cast(_stamp_schema())
        for columns in store.accepted_stamps(10 * PAGE)
    ]
    stamps = pa.concat_tables(parts) if parts else _stamp_schema().empty_table()
    named = ", ".join(STAMP_COLUMNS)
    with open_duckdb() as connection:
        connection.register("now", stamps)
        connection.execute(
            f"CREATE VIEW base AS SELECT id, content_sha, CAST(verified AS INTEGER) AS verified, weight "
            f"FROM read_parquet('{quoted(base)}')"
        )
        new = connection.execute(f"SELECT * FROM now ANTI JOIN base USING ({named}) ORDER BY id").to_arrow_table()
        gone = connection.execute(f"SELECT id FROM base ANTI JOIN now USING ({named})").to_arrow_table()
    if new.num_rows + gone.num_rows > CHANGED_SHARE * stamps.num_rows:
        return None
    ids = new["id"].to_pylist()
    pages = [table_of(columns) for columns in store.accepted_columns_of(ids)]
    fresh = (pa.concat_tables(pages) if pages else schema().empty_table()).sort_by("id")
    looked_up = fresh.select(list(STAMP_COLUMNS)).cast(_stamp_schema())
    if not looked_up.equals(new.select(list(STAMP_COLUMNS)).cast(_stamp_schema())):
        return None
    return frozenset(gone["id"].to_pylist()), fresh


def _merged(base: Path, gone: frozenset[str], fresh: pa.Table) -> Iterator[pa.Table]:
    taken = 0
    ids = fresh["id"].to_pylist()
    with pq.ParquetFile(base) as file:
        for batch in file.iter_batches(batch_size=PAGE):
            table = pa.Table.from_batches([batch]).cast(schema())
            last = batch.column("id")[-1].as_py()
            if gone:
                table = table.filter(pa.array([id not in gone for id in table["id"].to_pylist()]))
            until = taken
            while until < len(ids) and ids[until] < last:
                until += 1
            if until > taken:
                table = pa.concat_tables([table, fresh.slice(taken, until - taken)]).sort_by("id")
                taken = until
            yield table
    yield fresh.slice(taken)


def _pages(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, ``PAGE`` to a table and each column in one piece: what makes the written bytes the same."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= PAGE:
            whole = pa.concat_tables(waiting)
            yield _solid(whole.slice(0, PAGE))
            waiting, count = [whole.slice(PAGE)], count - PAGE
    if count:
        yield _solid(pa.concat_tables(waiting))


def _solid(table: pa.Table) -> pa.Table:
    # take() copies: a slice would be written like the table it was cut from, with that table's pages.
    return table.take(pa.array(range(table.num_rows), type=pa.int32())).combine_chunks()


def _stamp_schema() -> pa.Schema:
    kinds = {"verified": pa.int32(), "weight": pa.int32()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in STAMP_COLUMNS])
