"""Directories that are named by what they hold, with a manifest that says where it came from.

Belongs here: writing such a directory so that a killed run leaves nothing half-written. Does not belong here: what the
manifest says (manifests.py), what the directories mean (snapshots.py, train_set.py).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from correctly_assets.artifacts.files import fsync_directory, fsync_entries, hash_files
from correctly_assets.artifacts.manifests import Manifest, renew_manifest, write_manifest
from correctly_assets.core.hashing import content_id


def write_artefact(
    parent: Path,
    fill: Callable[[Path], None],
    *,
    content: list[str],
    manifest: Manifest | Callable[[], Manifest],
    renew: bool = False,
) -> tuple[str, Path]:
    """Write a content-addressed directory with a manifest, atomically.

    Args:
        parent: where the directory will stand, as ``parent/ID``.
        fill: writes the files into the temporary directory it is given.
        content: the files whose bytes make the ID; others (reports) may be added to the directory later.
        manifest: provenance; ``id`` and ``files`` ({name: sha256}) are added to it. A function is called after ``fill``.
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
        given = manifest() if callable(manifest) else manifest
        record = given.model_copy(update={"id": identity, "files": hashes})
        write_manifest(work, record)
        fsync_directory(work)
        target = parent / identity
        if not target.exists():
            work.chmod(0o755)
            os.replace(work, target)
            fsync_entries(parent)
        elif renew:
            renew_manifest(target, record)
        return identity, target
    finally:
        shutil.rmtree(work, ignore_errors=True)
