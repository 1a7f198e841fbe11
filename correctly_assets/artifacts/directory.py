"""Directories that are named by what they hold, with a manifest that says where it came from.

Belongs here: writing such a directory so that a killed run leaves nothing half-written. Does not belong here: what the
directories mean (snapshots.py, train_set.py).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from correctly_assets.core.hashing import content_id

from .files import fsync_directory, hash_files, write_text_atomically


def write_artefact(
    parent: Path,
    fill: Callable[[Path], None],
    *,
    content: list[str],
    manifest: Mapping[str, Any],
    renew: bool = False,
) -> tuple[str, Path]:
    """Write a content-addressed directory with a manifest, atomically.

    Args:
        parent: where the directory will stand, as ``parent/ID``.
        fill: writes the files into the temporary directory it is given.
        content: the files whose bytes make the ID; others (reports) may be added to the directory later.
        manifest: provenance; ``id`` and ``files`` ({name: sha256}) are added to it.
        renew: an equal artefact that exists already takes this provenance: it says what the same bytes were made from last.

    Returns:
        (ID, directory). The files of an equal artefact that exists already are kept untouched.

    Raises:
        OSError: the disk is full or not writable; nothing is left behind.
    """
    parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        fill(work)
        hashes = hash_files(work, content)
        identity = content_id(hashes)
        record = {**manifest, "id": identity, "files": hashes}
        (work / "manifest.json").write_text(_manifest_text(record))
        fsync_directory(work)
        target = parent / identity
        if not target.exists():
            work.chmod(0o755)
            os.replace(work, target)
            handle = os.open(parent, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        elif renew:
            renew_manifest(target, record)
        return identity, target
    finally:
        shutil.rmtree(work, ignore_errors=True)


def renew_manifest(directory: Path, provenance: Mapping[str, Any]) -> None:
    """Write newer provenance over an artefact's; what it does not name stays.

    Raises:
        OSError, ValueError: there is no manifest, or it is not JSON.
    """
    path = directory / "manifest.json"
    record = {**json.loads(path.read_text(encoding="utf-8")), **provenance}
    write_text_atomically(path, _manifest_text(record))
    path.chmod(0o644)  # as it was: an engine or a gateway may run as somebody else


def _manifest_text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
