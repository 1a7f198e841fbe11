"""Content addresses: canonical hashes and directories that are named by what they hold.

Belongs here: hashing values and files, and writing a directory so that a killed run leaves nothing half-written. Does
not belong here: what the directories mean (store/, training/).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def sha256_of(value: Any) -> str:
    """sha256 (hex) of a JSON-able value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(directory: Path, names: list[str]) -> dict[str, str]:
    """{name: sha256} of the named files of a directory."""
    return {name: sha256_file(directory / name) for name in sorted(names)}


def content_id(hashes: Mapping[str, str]) -> str:
    """The first 12 hex digits of the sha256 over names and hashes: an artefact's ID, the same everywhere."""
    return sha256_of(dict(hashes))[:12]


def fsync_directory(directory: Path) -> None:
    """Force every file below ``directory``, and its entries, to the disk."""
    for root, _, files in os.walk(directory):
        for name in files:
            with open(Path(root) / name, "rb") as file:
                os.fsync(file.fileno())
        handle = os.open(root, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a small file by temporary name, fsync and rename: readers see the old or the new text, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


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
