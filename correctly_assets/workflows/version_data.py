"""Version control of data: snapshots on a DVC remote of the user's, and back from there.

Belongs here: calling the `dvc` program over the snapshots' folder, and bringing back what an adapter was trained on. Does
not belong here: what a snapshot is (artifacts/snapshots.py).

`dvc` is a program of its own, found beside this Python or on PATH, and no dependency: it pulls in hydra, which would put
antlr4-python3-runtime back from the 4.13 that stands beside Dagster to 4.9.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict

from correctly_assets.artifacts.files import sha256_file
from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    Manifest,
    SnapshotManifest,
    artefacts_in,
    has_manifest,
    read_manifest,
)
from correctly_assets.core.errors import CorrectlyError, PermanentError, UnreachableError, UsageError
from correctly_assets.settings import Settings

DVC_VERSION = "3.67.1"
"""What the sentences below tell people to install, and what `make test-full` tries (deploy/install.sh reads it here)."""
_REMOTE = "correctly"
_SECONDS = 3600
_EXTRAS = {
    "s3": "s3",
    "gs": "gs",
    "azure": "azure",
    "ssh": "ssh",
    "webdav": "webdav",
    "webdavs": "webdav",
    "oss": "oss",
}


class RestoredSnapshot(BaseModel):
    """One snapshot that is there again.

    Attributes:
        restored: it was gone here and came from the remote.
        forgotten: examples that were forgotten since it was written; they are not in it any more.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    path: Path
    rows: int
    restored: bool
    forgotten: int


class CheckedOut(BaseModel):
    """What an adapter was trained on, there again, as ``data checkout --json`` prints it."""

    model_config = ConfigDict(frozen=True)

    adapter: str
    train_set: RestoredSnapshot
    examples: RestoredSnapshot


def dvc_program(remote: str = "") -> Path:
    """The `dvc` program.

    Args:
        remote: what it is wanted for; its scheme names the extra to install.

    Raises:
        PermanentError: there is none.
    """
    own_program = Path(sys.executable).parent / "dvc"
    found = str(own_program) if own_program.is_file() else shutil.which("dvc")
    if found is None:
        raise PermanentError(
            f"CORRECTLY_DVC_REMOTE is set, but there is no `dvc` program: install it with `{_install(remote)}`.",
            code="dvc_missing",
        )
    return Path(found)


def dvc_failure(word: str, output: str, remote: str) -> CorrectlyError:
    """What a failed call of the program means.

    Args:
        word: the call's first word, ``push`` or ``pull``.
        output: what it wrote on standard error.
        remote: the folder or URL that it was to use.

    Returns:
        PermanentError where this program cannot use such a remote, else UnreachableError.
    """
    if "requires 'dvc-" in output:
        return PermanentError(
            f"This `dvc` program lacks what {remote} needs: install it with `{_install(remote)}`.", code="dvc_missing"
        )
    lines = [line for line in output.splitlines() if line.startswith("ERROR")] or ["it gave no reason"]
    why = f"dvc {word} failed: {lines[0].removeprefix('ERROR:').strip().rstrip('.:')}."
    return PermanentError(why) if "configuration error" in lines[0] else UnreachableError(why)


def _install(remote: str) -> str:
    extra = _EXTRAS.get(remote.partition("://")[0], "")
    return f"pipx install 'dvc[{extra}]=={DVC_VERSION}'" if extra else f"pipx install 'dvc=={DVC_VERSION}'"


def push_snapshot(settings: Settings, directory: Path) -> None:
    """Add a snapshot to DVC and push it; one that is there already costs a look.

    Raises:
        UsageError: no remote is set.
        PermanentError: there is no `dvc` program, or it cannot use such a remote.
        UnreachableError: the remote does not take it.
    """
    with _repository(settings) as dvc:
        _push(dvc, directory.name)


def version_snapshot(settings: Settings, directory: Path) -> str | None:
    """What an asset calls after it wrote a snapshot: one sentence for its page; None when no remote is set.

    A remote that is away does not stop a run: the snapshot stands here, and `correctly data push` tries again.
    """
    if not settings.curation.dvc_remote:
        return None
    try:
        push_snapshot(settings, directory)
    except CorrectlyError as error:
        return f"Snapshot {directory.name} is not on the DVC remote: {error} `correctly data push` tries again."
    return f"Snapshot {directory.name} is on the DVC remote."


def push_all(settings: Settings) -> list[str]:
    """Push every snapshot that stands here; returns their IDs.

    Raises:
        As ``push_snapshot``.
    """
    ids = [path.name for path in artefacts_in(settings.platform.snapshots_dir)]
    with _repository(settings) as dvc:
        for id in ids:
            _push(dvc, id)
    return ids


def bring_back(settings: Settings, id: str) -> RestoredSnapshot:
    """Make sure that a snapshot stands here whole, from the DVC remote if need be.

    Raises:
        PermanentError: it is gone here, and there is no remote or the remote does not have it; or its bytes are not those that
            its manifest states.
        UnreachableError: the remote does not answer.
    """
    directory = settings.platform.snapshots_dir / id
    restored = False
    if not _is_whole(directory):
        _pull(settings, id)
        restored = True
        if not _is_whole(directory):
            raise PermanentError(f"Snapshot {id} came back with other bytes than its manifest states; it is not used.")
    manifest = read_manifest(directory, SnapshotManifest)
    return RestoredSnapshot(
        id=id, path=directory, rows=manifest.rows, restored=restored, forgotten=len(manifest.forgotten)
    )


def check_out(settings: Settings, prefix: str, to: Path | None = None) -> CheckedOut:
    """Bring back the train set and the examples that an adapter was trained on.

    Args:
        prefix: the beginning of the adapter's ID.
        to: where to copy them, as ``to/train_set`` and ``to/examples``; they are only brought back in place when None.

    Raises:
        UsageError: no adapter, or more than one, has such an ID; ``to`` holds something already.
        PermanentError: as ``bring_back``; or the adapter's manifest names no data.
    """
    adapter = _find_adapter(settings.platform.adapters_dir, prefix)
    manifest = read_manifest(adapter, AdapterManifest)

    def bring(key: str, id: str | None, target: Path | None) -> RestoredSnapshot:
        if not id:
            raise PermanentError(f"Adapter {adapter.name} names no {key} in its manifest: it was not trained here.")
        back = bring_back(settings, id)
        if target is None:
            return back
        if target.exists():
            raise UsageError(f"{target} is there already; give another --to, or remove it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(back.path, target)
        return back.model_copy(update={"path": target})

    return CheckedOut(
        adapter=adapter.name,
        train_set=bring("train_set", manifest.train_set, to and to / "train_set"),
        examples=bring("examples_snapshot", manifest.examples_snapshot, to and to / "examples"),
    )


def forget_versions(settings: Settings, ids: Iterable[str]) -> str | None:
    """Put the rewritten snapshots in the place of those that still hold a forgotten row.

    Returns:
        What a person still has to do, in one sentence; None when nothing is left.
    """
    pushed = [id for id in ids if (settings.platform.snapshots_dir / f"{id}.dvc").is_file()]
    if not pushed:
        return None
    if not settings.curation.dvc_remote:
        return "Snapshots with the row were pushed to a DVC remote that is not set any more: set CORRECTLY_DVC_REMOTE and forget again."
    try:
        with _repository(settings) as dvc:
            left = False
            for id in pushed:
                old = _objects(dvc, id, dvc.local_remote)
                _push(dvc, id)
                left = not _delete_objects(dvc, old) or left
    except CorrectlyError as error:
        return f"The DVC remote still holds the row ({error}); run the same command again."
    if left:
        return (
            "The DVC remote keeps earlier versions: if no other project uses it, "
            f"`cd {settings.platform.snapshots_dir} && dvc gc --workspace --cloud` removes them."
        )
    return None


# ------------------------------------------------------------------ the program


@dataclass(frozen=True, slots=True)
class _Dvc:
    """A DVC repository over the snapshots' folder."""

    program: Path
    root: Path
    remote: str

    def __call__(self, *words: str) -> None:
        # Never with --quiet, which leaves out its errors too. Its telemetry and update checks stay off, and its databases
        # with the data.
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.root / ".dvc" / "site")}
        try:
            done = subprocess.run(
                [str(self.program), *words], cwd=self.root, env=environment, capture_output=True, text=True,
                stdin=subprocess.DEVNULL, timeout=_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"dvc {words[0]} took longer than an hour; look at the remote.") from error
        if done.returncode:
            raise dvc_failure(words[0], done.stderr, self.remote)

    @property
    def cache(self) -> Path:
        return self.root / ".dvc" / "cache"

    @property
    def local_remote(self) -> Path | None:
        """The remote's folder, when it is one of this machine."""
        return None if "://" in self.remote else Path(self.remote)


@contextmanager
def _repository(settings: Settings) -> Iterator[_Dvc]:
    """The repository, made and configured; one process at a time."""
    remote = settings.curation.dvc_remote
    if not remote:
        raise UsageError("No DVC remote is set: set CORRECTLY_DVC_REMOTE to a folder or a URL that dvc knows.")
    if remote.startswith("file://"):
        remote = unquote(urlsplit(remote).path)  # dvc would make a folder `file:` among the snapshots of it
    if "://" not in remote:
        remote = str(Path(remote).expanduser().resolve())
    root = settings.platform.snapshots_dir
    dvc = _Dvc(dvc_program(remote), root, remote)
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".dvc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / ".dvc" / "config").is_file():
            dvc("init", "--no-scm")
            dvc("config", "core.analytics", "false")
            dvc("config", "core.check_update", "false")
        if f"url = {remote}\n" not in (root / ".dvc" / "config").read_text():
            dvc("remote", "add", "--force", "--default", _REMOTE, remote)
        try:
            yield dvc
        finally:
            # The snapshot itself stands here: a second copy costs the disk, and would keep what is forgotten.
            shutil.rmtree(dvc.cache, ignore_errors=True)


def _push(dvc: _Dvc, id: str) -> None:
    dvc("add", id)
    dvc("push", "--remote", _REMOTE, f"{id}.dvc")


def _pull(settings: Settings, id: str) -> None:
    pointer = settings.platform.snapshots_dir / f"{id}.dvc"
    if not settings.curation.dvc_remote or not pointer.is_file():
        why = "CORRECTLY_DVC_REMOTE is not set" if not settings.curation.dvc_remote else "it was never pushed"
        raise PermanentError(
            f"Snapshot {id} is not in {settings.platform.snapshots_dir}, and {why}: restore the folder from a backup."
        )
    with _repository(settings) as dvc:
        # Not `dvc pull --force`: from a remote that is empty or not mounted it brings nothing and takes away what stands here.
        dvc("fetch", "--remote", _REMOTE, pointer.name)
        fetched = (_object_path(dvc.cache, md5) for md5 in _objects(dvc, id, dvc.cache))
        if not all(path is not None and path.is_file() for path in fetched):
            raise PermanentError(
                f"The DVC remote {dvc.remote} does not hold snapshot {id} whole: see that it is the right one and there, or "
                f"restore {settings.platform.snapshots_dir} from a backup.",
                code="dvc_gone",
            )
        dvc("checkout", "--force", pointer.name)


def _objects(dvc: _Dvc, id: str, place: Path | None) -> set[str]:
    """Hashes of what is kept for a snapshot as it was pushed last; its listing's alone where ``place`` does not hold that.

    Args:
        place: the cache, or the remote's folder; None for a remote elsewhere.
    """
    pointer = yaml.safe_load((dvc.root / f"{id}.dvc").read_text())
    whole = str(pointer["outs"][0]["md5"])
    listing = _object_path(place, whole)
    if listing is None or not listing.is_file():
        return {whole}
    return {whole, *(str(entry["md5"]) for entry in json.loads(listing.read_text()))}


def _object_path(place: Path | None, md5: str) -> Path | None:
    return place / "files" / "md5" / md5[:2] / md5[2:] if place else None


def _delete_objects(dvc: _Dvc, old: set[str]) -> bool:
    """Delete from a local remote what no snapshot of ours points to any more; False for a remote elsewhere."""
    if dvc.local_remote is None:
        return False
    needed: set[str] = set()
    for pointer in dvc.root.glob("*.dvc"):
        if pointer.is_file():
            needed |= _objects(dvc, pointer.stem, dvc.local_remote)
    for md5 in old - needed:
        path = _object_path(dvc.local_remote, md5)
        if path is not None and path.is_file():
            path.chmod(0o644)
            path.unlink()
    return True


# ------------------------------------------------------------------ what stands here


def _is_whole(directory: Path) -> bool:
    """Whether a snapshot stands here with the bytes that its manifest states."""
    if not has_manifest(directory):
        return False
    files = read_manifest(directory, Manifest).files
    return bool(files) and all(
        (directory / name).is_file() and sha256_file(directory / name) == sha for name, sha in files.items()
    )


def _find_adapter(adapters_dir: Path, prefix: str) -> Path:
    found = sorted(
        path.parent for path in adapters_dir.glob("[!.]*/manifest.json") if path.parent.name.startswith(prefix)
    )
    if not found or not prefix:
        raise UsageError(f"No adapter in {adapters_dir} begins with {prefix!r}; `correctly releases` lists them.")
    if len(found) > 1:
        raise UsageError(f"More than one adapter begins with {prefix!r}; give more of the ID.")
    return found[0]
