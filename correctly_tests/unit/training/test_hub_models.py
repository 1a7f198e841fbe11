"""A base model that is named as a hub names it: downloaded by `correctly prepare`, and asked for before any training.

The hub is a server on loopback; the command is a child process, because huggingface_hub reads its address when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from correctly_assets.core.errors import UsageError
from correctly_assets.settings import PROJECT_ROOT, get_settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.workflows.retrain_state import recipe
from correctly_assets.workflows.train_adapter import local_base
from correctly_tests.loopback import Loopback, answer
from correctly_tests.training_tiny import run_config, start_training, write_base_model, write_train_set

pytestmark = pytest.mark.slow

NAME = "tiny-team/tiny-gemma"
REVISION = "5f" * 20


class Hub(Loopback):
    """One model's files over the routes that huggingface_hub asks; ``gated`` refuses them as for a model with terms."""

    def __init__(self, directory: Path, *, gated: bool = False) -> None:
        self.directory, self.gated, self.given = directory, gated, set[str]()
        super().__init__()

    def handle(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        path = urlsplit(handler.path).path
        files = sorted(self.directory.iterdir())
        if self.gated:
            answer(handler, 403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f"{n:040x}"}
                for n, f in enumerate(files)
            ]
            answer(handler, 200, tree)
        elif path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/{REVISION}"):
            siblings = [{"rfilename": file.name} for file in files]
            answer(handler, 200, {"id": NAME, "sha": REVISION, "siblings": siblings, "tags": ["license:apache-2.0"]})
        elif path.startswith(f"/{NAME}/resolve/{REVISION}/"):
            file = self.directory / path.rsplit("/", 1)[1]
            self.given.add(file.name)
            answer(handler, 200, file.read_bytes(), {"ETag": f'"{file.name}"', "X-Repo-Commit": REVISION})
        else:
            answer(handler, 404, {"error": path}, {"X-Error-Code": "RepoNotFound"})


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """What the hub has: a tiny model, with what a model's page has besides."""
    directory = write_base_model(tmp_path / "hub")
    (directory / "correctly_base.json").unlink()
    (directory / "README.md").write_text("A card.")
    (directory / "pytorch_model.bin").write_bytes(b"may hold code")
    return directory


@pytest.fixture
def hub(offered: Path) -> Iterator[Hub]:
    made = Hub(offered)
    yield made
    made.close()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CORRECTLY_BASE_MODEL", NAME)
    return get_settings().platform.home


def prepare(port: int, **changes: str) -> tuple[int, str]:
    """`correctly prepare` against the hub on a port: (exit code, what it said)."""
    env = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", "HF_TOKEN")}
    env |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": env["CORRECTLY_HOME"],
        **changes,
    }
    done = subprocess.run(
        [sys.executable, "-m", "correctly_assets.cli", "prepare"], cwd=PROJECT_ROOT, env=env, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_prepare_downloads_a_hubs_model_once_and_adapters_pass_on_it(hub: Hub, home: Path, tmp_path: Path) -> None:
    code, said = prepare(hub.port)
    assert code == 0, said
    base = local_base(get_settings())
    assert base == home / "models" / "tiny-team--tiny-gemma"
    assert json.loads((base / "correctly_base.json").read_text()) == {
        "name": NAME, "revision": REVISION, "source": NAME, "licence": "apache-2.0",
    }  # fmt: skip
    assert not hub.given & {"README.md", "pytorch_model.bin"}
    assert {path.name for path in base.iterdir()} == hub.given | {"correctly_base.json"}
    assert not list(base.parent.glob(".*")), "nothing half-written stays"
    assert recipe(get_settings()).base_model == REVISION

    hub.given.clear()
    assert prepare(hub.port)[0] == 0 and not hub.given

    write_train_set(tmp_path)
    config = run_config(tmp_path, tmp_path, base_model=str(base), result_path=tmp_path / "result.json", max_steps=3)
    output, _ = start_training(config, tmp_path).communicate(timeout=240)
    result = json.loads((tmp_path / "result.json").read_text())
    assert "error" not in result, output
    assert check_adapter(Path(result["path"]), base).base_model.model_dump() == {"name": NAME, "revision": REVISION}


def test_a_missing_hub_model_is_asked_for_before_training_with_the_command(home: Path) -> None:
    with pytest.raises(UsageError, match=f"CORRECTLY_BASE_MODEL={NAME} correctly prepare"):
        local_base(get_settings())
    assert not home.exists()


@pytest.mark.parametrize(
    ("how", "exit_code", "words"),
    [("gated", 2, "accept them on the model's page"), ("offline", 4, "HF_HUB_OFFLINE"), ("none", 2, "has no model")],
)
def test_what_the_hub_does_not_give_is_one_sentence_with_the_remedy(
    offered: Path, home: Path, how: str, exit_code: int, words: str
) -> None:
    hub = Hub(offered, gated=how == "gated")
    try:
        changes = {"offline": {"HF_HUB_OFFLINE": "1"}, "none": {"CORRECTLY_BASE_MODEL": "tiny-team/other"}}.get(how, {})
        code, said = prepare(hub.port, **changes)
    finally:
        hub.close()
    assert (code, words in said, "Traceback" in said) == (exit_code, True, False), said
    assert not list((home / "models").glob("*"))
