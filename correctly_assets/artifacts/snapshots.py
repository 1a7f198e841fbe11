"""Content-addressed Parquet directories: what examples stood in the store, and what an adapter was trained on.

Belongs here: writing and reading snapshot directories, and removing a row from them. Does not belong here: which pairs
make a train set (train_set.py) or how they are written by a teacher.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    ExamplesManifest,
    SnapshotManifest,
    artefacts_in,
    read_manifest,
    write_manifest,
)
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.retrain import rows_digest

EXAMPLES_FILE = "examples.parquet"
TRAIN_FILE = "train.parquet"
EXAMPLES_FORMAT = 2

M = TypeVar("M", bound=SnapshotManifest)


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[M]):
    """One content-addressed directory.

    Attributes:
        id: first 12 hex digits of the content's sha256; also the directory's name.
        row_digest: hash of the set of rows, which does not depend on the file format.
    """

    id: str
    path: Path
    rows: int
    row_digest: str
    manifest: M


def write_snapshot(
    parent: Path, fill: Callable[[Path], None], *, content: list[str], manifest: Callable[[], M]
) -> Snapshot[M]:
    """Write a directory atomically; a full disk ends in one sentence and leaves nothing behind.

    Args:
        manifest: called after ``fill``; names ``rows`` and ``row_digest``.

    Raises:
        PermanentError: the disk is full or cannot be written.
    """
    made: list[M] = []

    def made_of() -> M:
        made.append(manifest())
        return made[-1]

    sweep_leftovers(parent)
    try:
        identity, path = write_artefact(parent, fill, content=content, manifest=made_of, renew=True)
    except OSError as error:
        raise disk_error(error, parent) from error
    stored = read_manifest(path, type(made[-1]))
    return Snapshot(identity, path, stored.rows, stored.row_digest, stored)


def sweep_leftovers(parent: Path, *, seconds: float = 86_400) -> None:
    """Remove the working directories that killed runs left behind; younger ones may belong to a run at work."""
    for path in parent.glob(".*-*") if parent.is_dir() else ():
        if path.name.startswith((".new-", ".stage-")) and time.time() - path.lstat().st_mtime > seconds:
            shutil.rmtree(path, ignore_errors=True)


def disk_error(error: OSError, where: Path) -> PermanentError:
    """A failure to write as one sentence with its remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return PermanentError(f"There is no room left under {where}; free some space and run again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return PermanentError(f"{where} cannot be written; check the folder and its rights.")
    return PermanentError(f"Writing under {where} failed ({error.strerror or error}); check the disk and run again.")


def example_ids(directory: Path) -> Iterator[str]:
    """The ids of the examples that a snapshot holds."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(directory / EXAMPLES_FILE) as file:
        for batch in file.iter_batches(columns=["id"]):
            yield from batch.column(0).to_pylist()


def rows_digest_without(directory: Path, ids: Iterable[str]) -> str:
    """The hash of a snapshot's set of rows (``core.retrain.rows_digest``) as it is without some examples.

    Raises:
        PermanentError: there is no such snapshot.
    """
    import pyarrow.parquet as pq

    without = set(ids)
    if not without:
        return read_manifest(directory, ExamplesManifest).row_digest
    shas: list[str] = []
    with pq.ParquetFile(directory / EXAMPLES_FILE) as file:
        for batch in file.iter_batches(columns=["id", "content_sha"]):
            shas += [row["content_sha"] for row in batch.to_pylist() if row["id"] not in without]
    return rows_digest(shas)


# -- forgetting ----------------------------------------------------------------------------------------------------


def _snapshot_files(snapshots_dir: Path) -> Iterator[tuple[Path, str]]:
    for directory in sorted(snapshots_dir.iterdir()) if snapshots_dir.is_dir() else ():
        for name, column in ((EXAMPLES_FILE, "id"), (TRAIN_FILE, "example_id")):
            if (directory / name).is_file() and not directory.name.startswith("."):
                yield directory / name, column


def remove_example(snapshots_dir: Path, example_id: str) -> list[str]:
    """Rewrite every snapshot and train set that holds the example without it; returns their IDs.

    The directory keeps its ID, which lineage refers to; its manifest says under ``forgotten`` why the bytes changed.
    """
    import pyarrow.parquet as pq

    touched: list[str] = []
    for path, column in _snapshot_files(snapshots_dir):
        manifest = read_manifest(path.parent, SnapshotManifest)
        ids = pq.read_table(path, columns=[column]).column(0)
        if example_id not in ids.to_pylist():
            if example_id in manifest.forgotten:
                touched.append(path.parent.name)  # an earlier call was stopped after this file
            continue
        table = pq.read_table(path)
        kept = table.filter([value != example_id for value in table[column].to_pylist()])
        # The manifest first: were it killed in between, the next call would find the row and go on.
        manifest.forgotten = sorted({*manifest.forgotten, example_id})
        write_manifest(path.parent, manifest)
        work = path.with_name(f".{path.name}.new")
        try:
            pq.write_table(kept, work, compression="zstd")
            with work.open("rb") as file:
                os.fsync(file.fileno())
            work.replace(path)
        except OSError as error:
            raise disk_error(error, path.parent) from error
        finally:
            work.unlink(missing_ok=True)
        manifest.files[path.name] = sha256_file(path)
        manifest.rows = kept.num_rows
        write_manifest(path.parent, manifest)
        touched.append(path.parent.name)
    return touched


def adapters_trained_on(adapters_dir: Path, train_sets: Iterable[str]) -> list[str]:
    """IDs of the adapters whose manifest names one of these train sets as its ``train_set``."""
    wanted = set(train_sets)
    return [
        path.name for path in artefacts_in(adapters_dir) if read_manifest(path, AdapterManifest).train_set in wanted
    ]
