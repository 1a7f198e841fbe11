"""Snapshots on a DVC remote and back: with the real program over a folder (`full`), and the sentences where it is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.lib
import pyarrow.parquet as parquet
import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.artifacts.manifests import ExamplesManifest, TrainSetManifest
from correctly_assets.artifacts.snapshots import Snapshot
from correctly_assets.artifacts.train_set import read_train_set, write_train_set
from correctly_assets.core.errors import PermanentError, UnreachableError, UsageError
from correctly_assets.core.types import Example, TrainPair
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.forget_example import forget_example
from correctly_assets.workflows.version_data import (
    DVC_VERSION,
    bring_back,
    check_out,
    dvc_failure,
    dvc_program,
    forget_versions,
    push_all,
    push_snapshot,
    version_snapshot,
)
from correctly_tests.commands import invoke

SECRET = "My neighbour Ottilie tell me everything."


def with_the_program(test: Callable[..., None]) -> Callable[..., None]:
    """Runs the test with the real `dvc`, outside the CI."""
    return pytest.mark.full(pytest.mark.usefixtures("dvc")(test))


@pytest.fixture(scope="session")
def dvc_environment() -> Path:
    """Where the pinned `dvc` stands, in an environment of its own that is made the first time."""
    made = subprocess.run(
        ["make", "--silent", ".venv-dvc/.installed"], cwd=PROJECT_ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return PROJECT_ROOT / ".venv-dvc" / "bin"


@pytest.fixture
def dvc(dvc_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Puts the program on PATH; runs it by hand: what `dvc WORDS` prints in a folder."""
    monkeypatch.setenv("PATH", f"{dvc_environment}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")

    def call(folder: Path, *words: str) -> str:
        done = subprocess.run(["dvc", *words], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture
def store(settings: Settings) -> Store:
    return open_store(settings.platform.store_url, settings.platform.sql_dir)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC remote in a folder, which the settings name."""
    folder = tmp_path / "remote"
    monkeypatch.setenv("CORRECTLY_DVC_REMOTE", str(folder))
    return folder


def trained(settings: Settings, store: Store) -> tuple[Snapshot[ExamplesManifest], Snapshot[TrainSetManifest], str]:
    """Two landed examples, their snapshot and train set, and an adapter that names both; the first example's id."""
    store.land([Example("", SECRET, SECRET.replace("tell", "tells")), Example("", "He go.", "He goes.")])
    secret = next(row.id for row in store.accepted() if row.before == SECRET)
    examples = write_examples_snapshot(store, settings.platform.snapshots_dir)
    pairs = [TrainPair(row.id, row.id, "example", row.before, row.after or "") for row in store.accepted()]
    train_set = write_train_set(
        pairs,
        settings.platform.snapshots_dir,
        TrainSetManifest(examples_snapshot=examples.id),
        sql_dir=settings.platform.sql_dir,
    )
    adapter = settings.platform.adapters_dir / "cafe00000001"
    adapter.mkdir(parents=True)
    manifest = {"id": adapter.name, "train_set": train_set.id, "examples_snapshot": examples.id}
    (adapter / "manifest.json").write_text(json.dumps(manifest))
    return examples, train_set, secret


def all_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@with_the_program
def test_what_an_adapter_was_trained_on_comes_back_byte_for_byte(
    remote: Path, settings: Settings, store: Store, tmp_path: Path
) -> None:
    settings = Settings()
    examples, train_set, _ = trained(settings, store)
    before = content(train_set.path), content(examples.path)
    assert sorted(push_all(settings)) == sorted([examples.id, train_set.id])
    shutil.rmtree(train_set.path)
    shutil.rmtree(examples.path)
    found = check_out(settings, "cafe", tmp_path / "out")
    assert found.adapter == "cafe00000001"
    assert found.train_set.restored and found.train_set.rows == 2 and found.examples.restored
    assert (content(tmp_path / "out" / "train_set"), content(tmp_path / "out" / "examples")) == before
    assert (content(train_set.path), content(examples.path)) == before
    assert not check_out(settings, "cafe").train_set.restored


def rows_on(remote: Path) -> list[str]:
    """The texts of every table that a remote's folder holds."""
    found: list[str] = []
    for path in remote.rglob("*"):
        if path.is_file():
            try:
                found += parquet.read_table(path, columns=["before"]).column(0).to_pylist()
            except pyarrow.lib.ArrowInvalid:
                continue  # a manifest, or a listing of DVC's
    return found


@with_the_program
def test_by_command_rows_are_pushed_fetched_forgotten_and_read_by_dvc(
    remote: Path, settings: Settings, store: Store, tmp_path: Path, dvc: Callable[..., str]
) -> None:
    assert dvc(tmp_path, "--version").strip() == DVC_VERSION
    examples, train_set, secret = trained(settings, store)
    before = content(train_set.path), content(examples.path)
    assert sorted(json.loads(invoke("data", "push", "--json"))["pushed"]) == sorted([examples.id, train_set.id])
    assert rows_on(remote).count(SECRET) == 2
    for path in (train_set.path, examples.path):
        shutil.rmtree(path)
    found = json.loads(invoke("data", "checkout", "cafe", "--json"))
    assert [found[what]["restored"] for what in ("train_set", "examples")] == [True, True]
    assert (content(train_set.path), content(examples.path)) == before
    # A colleague with the pointers and the program, and nothing of ours.
    theirs = tmp_path / "theirs"
    (theirs / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", f"{examples.id}.dvc", f"{train_set.id}.dvc"):
        shutil.copy(settings.platform.snapshots_dir / name, theirs / name)
    dvc(theirs, "pull")
    assert (content(theirs / train_set.id), content(theirs / examples.id)) == before
    assert "up to date" in dvc(theirs, "status")
    assert forget_example(Settings(), store, secret[:10]).left == ()
    assert sorted(rows_on(remote)) == ["He go.", "He go."]
    for path in (train_set.path, examples.path):
        shutil.rmtree(path)
    found = json.loads(invoke("data", "checkout", "cafe", "--json"))
    assert [(found[what]["rows"], found[what]["forgotten"]) for what in ("train_set", "examples")] == [(1, 1), (1, 1)]


@with_the_program
def test_what_the_remote_has_lost_is_said_and_what_stands_here_stays(
    remote: Path, store: Store, tmp_path: Path
) -> None:
    settings = Settings()
    examples, train_set, _ = trained(settings, store)
    push_all(settings)
    held = sorted(rows_on(remote))
    remote.rename(tmp_path / "lost")
    push_all(settings)
    assert held and sorted(rows_on(remote)) == held  # it is not taken for being there still
    remote.rename(tmp_path / "unmounted")
    assert not check_out(settings, "cafe").train_set.restored
    (train_set.path / "train.parquet").write_bytes(b"damaged")
    shutil.rmtree(examples.path)
    for id in (train_set.id, examples.id):
        with pytest.raises(
            PermanentError, match=f"^The DVC remote {remote} does not hold snapshot {id} whole"
        ) as caught:
            bring_back(settings, id)
        assert caught.value.code == "dvc_gone"
    assert (train_set.path / "train.parquet").read_bytes() == b"damaged"


@with_the_program
def test_the_command_for_earlier_versions_elsewhere_removes_them_alone(
    remote: Path, settings: Settings, store: Store, dvc: Callable[..., str]
) -> None:
    settings = Settings()
    _, train_set, secret = trained(settings, store)
    push_all(settings)
    store.forget(secret, snapshots_dir=settings.platform.snapshots_dir, adapters_dir=settings.platform.adapters_dir)
    push_all(settings)
    assert SECRET in rows_on(remote)
    dvc(settings.platform.snapshots_dir, "gc", "--workspace", "--cloud", "--force")
    assert sorted(rows_on(remote)) == ["He go.", "He go."]
    shutil.rmtree(train_set.path)
    assert bring_back(settings, train_set.id).rows == 1


@with_the_program
def test_a_remote_is_a_folder_by_its_path_and_by_its_file_address(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORRECTLY_DVC_REMOTE", f"file://{tmp_path}/the%20remote")
    settings = Settings()
    examples, _, _ = trained(settings, store)
    push_snapshot(settings, examples.path)
    assert SECRET in rows_on(tmp_path / "the remote")
    assert not list(settings.platform.snapshots_dir.glob("file*"))


@with_the_program
def test_a_remote_that_this_program_cannot_use_is_said_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for remote, words in {
        "s3://bucket/rows": r"pipx install 'dvc\[s3\]==",
        "foo://rows": "Unsupported URL type",
    }.items():
        monkeypatch.setenv("CORRECTLY_DVC_REMOTE", remote)
        settings = Settings()
        if not settings.platform.adapters_dir.exists():
            trained(settings, store)
        with pytest.raises(PermanentError, match=words):
            push_all(settings)


def test_why_a_call_of_the_program_failed_is_one_sentence() -> None:
    said = "WARNING: slow\nERROR: unexpected error - [Errno 20] Not a directory: '/r'\n\nHaving any troubles?\n"
    away = dvc_failure("push", said, "/r")
    assert isinstance(away, UnreachableError)
    assert str(away) == "dvc push failed: unexpected error - [Errno 20] Not a directory: '/r'."
    lacking = dvc_failure("push", "ERROR: s3 is supported, but requires 'dvc-s3' to be installed: No module", "s3://b")
    assert isinstance(lacking, PermanentError) and f"pipx install 'dvc[s3]=={DVC_VERSION}'" in str(lacking)


@with_the_program
def test_a_pushed_snapshot_leaves_no_second_copy_here(remote: Path, store: Store) -> None:
    settings = Settings()
    examples, _, _ = trained(settings, store)
    assert version_snapshot(settings, examples.path) == f"Snapshot {examples.id} is on the DVC remote."
    assert remote.is_dir() and not (settings.platform.snapshots_dir / ".dvc" / "cache").exists()
    assert "analytics = false" in (settings.platform.snapshots_dir / ".dvc" / "config").read_text()


@with_the_program
def test_a_damaged_snapshot_is_fetched_again_and_used_only_when_right(remote: Path, store: Store) -> None:
    settings = Settings()
    _, train_set, _ = trained(settings, store)
    push_snapshot(settings, train_set.path)
    file = train_set.path / "train.parquet"
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + b"!")
    assert bring_back(settings, train_set.id).restored and file.read_bytes() == sound
    # What was pushed in a damaged state comes back damaged, and is not used.
    file.unlink()
    file.write_bytes(sound + b"!")
    push_snapshot(settings, train_set.path)
    with pytest.raises(PermanentError, match="other bytes"):
        bring_back(settings, train_set.id)


@with_the_program
def test_a_forgotten_row_leaves_the_remote_and_its_neighbours_stay(remote: Path, store: Store) -> None:
    settings = Settings()
    examples, train_set, secret = trained(settings, store)
    push_all(settings)
    held = [path for path in remote.rglob("*") if path.is_file()]
    forgotten = store.forget(
        secret, snapshots_dir=settings.platform.snapshots_dir, adapters_dir=settings.platform.adapters_dir
    )
    assert forgotten.adapters == ("cafe00000001",)
    assert forget_versions(settings, forgotten.snapshots) is None
    now = [path for path in remote.rglob("*") if path.is_file()]
    assert len(now) == len(held) and not set(now) & set(held)
    shutil.rmtree(train_set.path)
    shutil.rmtree(examples.path)
    back = bring_back(settings, train_set.id)
    assert (back.rows, back.forgotten) == (1, 1)
    assert [pair.before for pair in read_train_set(back.path)] == ["He go."]


@with_the_program
def test_a_remote_that_cannot_be_reached_is_one_sentence_and_stops_no_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file, where a folder is wanted")
    monkeypatch.setenv("CORRECTLY_DVC_REMOTE", str(blocked / "remote"))
    settings = Settings()
    examples, _, _ = trained(settings, store)
    with pytest.raises(UnreachableError, match=r"^dvc push failed: .*Not a directory"):
        push_snapshot(settings, examples.path)
    said = version_snapshot(settings, examples.path) or ""
    assert "not on the DVC remote" in said and "correctly data push" in said
    assert examples.path.is_dir()


def test_without_the_program_the_sentence_says_how_to_install_it(
    remote: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    settings = Settings()
    examples, _, _ = trained(settings, store)
    with pytest.raises(PermanentError, match=r"pipx install 'dvc==\d") as caught:
        push_snapshot(settings, examples.path)
    assert caught.value.code == "dvc_missing"
    assert "pipx install" in (version_snapshot(settings, examples.path) or "")
    with pytest.raises(PermanentError, match=r"'dvc\[s3\]=="):
        dvc_program("s3://bucket/path")


def test_without_a_remote_nothing_is_said_and_local_snapshots_are_used(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    examples, train_set, _ = trained(settings, store)
    assert version_snapshot(settings, examples.path) is None
    with pytest.raises(UsageError, match="CORRECTLY_DVC_REMOTE"):
        push_snapshot(settings, examples.path)
    found = check_out(settings, "cafe", tmp_path / "out")
    assert not found.train_set.restored and found.examples.rows == 2
    assert content(tmp_path / "out" / "train_set") == content(train_set.path)
    with pytest.raises(UsageError, match="there already"):
        check_out(settings, "cafe", tmp_path / "out")
    shutil.rmtree(train_set.path)
    with pytest.raises(PermanentError, match="CORRECTLY_DVC_REMOTE is not set"):
        check_out(settings, "cafe")


def test_an_adapter_that_is_not_there_or_names_no_data_is_said_so(settings: Settings, store: Store) -> None:
    with pytest.raises(UsageError, match="No adapter"):
        check_out(settings, "beef")
    foreign = settings.platform.adapters_dir / "beef00000001"
    foreign.mkdir(parents=True)
    (foreign / "manifest.json").write_text("{}")
    with pytest.raises(PermanentError, match="names no train_set"):
        check_out(settings, "beef")
