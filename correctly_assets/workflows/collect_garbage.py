"""Taking away what no one needs any more: adapters, their snapshots, checkpoints and MLflow's copies; and refusing to start
a run on a full disk.

Belongs here: what is kept, and removing the rest. Does not belong here: `forget`, which takes a row out of what is kept
(forgetting.py).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from correctly_assets.artifacts.manifests import AdapterManifest, Manifest, ManifestError, find_artefacts, read_manifest
from correctly_assets.core.errors import RetryableError, UnreachableError
from correctly_assets.settings import PlatformSettings

if TYPE_CHECKING:
    from correctly_assets.store import Store
    from correctly_assets.workflows.promote import EngineLike

MIN_FREE_BYTES = 5_000_000_000
"""Bytes that must be free under HOME before a run starts."""


@dataclass(frozen=True, slots=True)
class Removed:
    """One directory that was, or would be, removed. ``size`` in bytes."""

    kind: str
    name: str
    path: Path
    size: int


def require_space(platform: PlatformSettings, least: int = MIN_FREE_BYTES) -> None:
    """Refuse to start what may fill the disk.

    Raises:
        RetryableError: less than ``least`` bytes are free under HOME.
    """
    free = shutil.disk_usage(platform.home).free
    if free < least:
        raise RetryableError(
            f"Only {free / 1e9:.1f} GB are free under {platform.home}, and a run wants {least / 1e9:.0f}: run "
            "`correctly gc`, or free some space."
        )


async def loaded_adapters(engine: EngineLike, *, platform_runs: bool) -> list[str]:
    """The names that the engine knows; none where no engine runs, for then none can miss a directory.

    Args:
        platform_runs: whether a supervisor holds the platform up, so that an engine that does not answer is only starting.

    Raises:
        UnreachableError: the platform runs and its engine does not answer: it is starting or busy, and what it knows
            cannot be told.
    """
    try:
        async with engine.client() as client:
            return list(await client.models())
    except UnreachableError as error:
        if not platform_runs:
            return []
        raise UnreachableError(
            f"The engine does not say now which adapters it knows, so nothing was removed: try again in a minute. {error}"
        ) from error


def collect_garbage(
    platform: PlatformSettings, store: Store, *, keep: int, loaded: Iterable[str] = (), dry_run: bool = False
) -> list[Removed]:
    """Remove all but the newest adapters and what they were made from.

    Kept are the ``keep`` newest adapters, the champion, the release before it, and whatever an engine knows, with the
    snapshots they name; the ``keep`` newest snapshots and checkpoints besides, since a run may be under way.

    Args:
        loaded: adapters that the engine has registered: a request for one whose directory is gone takes the engine down.
        dry_run: say what would go, and remove nothing.
    """
    champion, previous = store.champion(), store.previous_release()
    adapters = _newest(path for path in platform.adapters_dir.glob("[!.]*") if path.is_dir())
    serving = {release.adapter for release in (champion, previous) if release}
    kept = {path.name for path in adapters[:keep]} | serving
    kept |= set(loaded)
    snapshots = _newest(path for path in platform.snapshots_dir.glob("[!.]*") if path.is_dir())
    named = {path.name for path in snapshots[:keep]}
    for path in adapters:
        if path.name in kept:
            named |= set(_made_from(path))
    # A train set names the examples it was made from, and is of no use without them.
    for path in snapshots:
        if path.name in named:
            named |= set(_made_from(path))
    checkpoints = _newest(path for path in platform.checkpoints_dir.glob("[!.]*") if path.is_dir())
    going = [
        *(("adapter", path.name, path) for path in adapters if path.name not in kept),
        *(("snapshot", path.name, path) for path in snapshots if path.name not in named),
        *(("checkpoint", path.name, path) for path in checkpoints[keep:]),
        *(("MLflow copy", id, path) for id, path in _mlflow_copies(platform) if id not in kept),
    ]
    removed = [Removed(kind, name, path, _size(path)) for kind, name, path in going]
    if not dry_run:
        for item in removed:
            shutil.rmtree(item.path)
    return removed


def _newest(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def _made_from(directory: Path) -> Iterator[str]:
    """IDs of the snapshots that an adapter or a train set names; an examples snapshot names none."""
    with contextlib.suppress(ManifestError):
        made_from = read_manifest(directory, AdapterManifest)
        yield from (id for id in (made_from.train_set, made_from.examples_snapshot) if id)


def _mlflow_copies(platform: PlatformSettings) -> Iterator[tuple[str, Path]]:
    """(adapter's id, directory) of every adapter that MLflow keeps as an artefact."""
    for directory in find_artefacts(platform.home / "mlflow" / "artifacts"):
        with contextlib.suppress(ManifestError):
            if identity := read_manifest(directory, Manifest).id:
                yield identity, directory


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and not file.is_symlink())
