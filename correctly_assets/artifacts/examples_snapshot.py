"""The rows of a snapshot, in order and in pages: from the store alone, or from the snapshot before and what changed.

Belongs here: finding out what changed since a snapshot, and merging it in. Does not belong here: naming, writing and
listing snapshots (snapshots.py).

Both ways give the same pages, and so the same file: a snapshot's ID does not tell how it was made. Reading and sorting a
million rows afresh for a hundred new ones is what this saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from correctly_assets.artifacts.duckdb_queries import open_duckdb, quoted

if TYPE_CHECKING:
    import pyarrow as pa

ACCEPTED_COLUMNS = (
    "id", "content_sha", "before", "after", "reason", "reasons", "form", "tone", "topic", "language", "style",
    "key_expressions", "speaker", "source", "cefr", "licence", "verified", "weight",
)  # fmt: skip
STAMP_COLUMNS = ("id", "content_sha", "verified", "weight")
"""What tells whether an accepted row still stands as it did: its content's address and what may change beside it."""


class AcceptedRows(Protocol):
    """What a snapshot needs of the store: the accepted rows of one moment, column by column."""

    def accepted_columns(self, size: int) -> Iterator[list[list[Any]]]: ...
    def accepted_columns_of(self, ids: Sequence[str]) -> Iterator[list[list[Any]]]: ...
    def accepted_stamps(self, size: int) -> Iterator[list[list[Any]]]: ...


PAGE = 20_000
CHANGED_SHARE = 0.1
"""Above this share of changed rows everything is read afresh: looking rows up one by one costs more than reading on."""


def schema() -> pa.Schema:
    """Columns of ``examples.parquet``."""
    import pyarrow as pa

    kinds = {"verified": pa.bool_(), "weight": pa.int32()}
    texts = [name for name in ACCEPTED_COLUMNS if name not in kinds]
    return pa.schema([*((name, pa.string()) for name in texts), *kinds.items()])


def table_of(columns: list[list[Any]]) -> pa.Table:
    """One page as the store gives it (``ACCEPTED_COLUMNS``, flags as 0 and 1)."""
    import pyarrow as pa

    named = dict(zip(ACCEPTED_COLUMNS, columns, strict=True))
    named["verified"] = [value == 1 for value in named["verified"]]
    return pa.table({name: named[name] for name in schema().names}, schema=schema())


def all_pages(store: AcceptedRows, scratch: Path) -> Iterator[pa.Table]:
    """Every accepted row by id, read afresh: in the order of the table, which is fast, and sorted by DuckDB outside memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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


def _changes(store: AcceptedRows, base: Path) -> tuple[frozenset[str], pa.Table] | None:
    """(ids of the base's rows that no longer stand so, the rows that stand now and did not, by id)."""
    import pyarrow as pa

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
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    import pyarrow as pa

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
    import pyarrow as pa

    return table.take(pa.array(range(table.num_rows), type=pa.int32())).combine_chunks()


def _stamp_schema() -> pa.Schema:
    import pyarrow as pa

    kinds = {"verified": pa.int32(), "weight": pa.int32()}
    return pa.schema([(name, kinds.get(name, pa.string())) for name in STAMP_COLUMNS])
