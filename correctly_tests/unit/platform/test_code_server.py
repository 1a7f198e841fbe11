"""The standing code server: what it serves, who can reach it, and that it is started again when it hangs."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from correctly_assets.core.errors import UnreachableError
from correctly_assets.platform.code_server import code_server_answers, socket_path, source_state, workspace_path
from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.platform.processes import BY_NAME
from correctly_assets.platform.supervisor import Supervisor
from correctly_assets.settings import Settings


def wait(wanted: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_the_code_server_serves_the_definitions_and_is_replaced_when_hung(settings, monkeypatch):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AGAIN", 0.1)
    monkeypatch.setattr("correctly_assets.platform.supervisor._PATIENCE", 1.0)
    supervisor = Supervisor(settings)
    with make_instance(settings) as instance:
        assert not code_server_answers(settings, 1)
        part = replace(BY_NAME["code"], hung_seconds=1)
        child = supervisor.start(part)
        try:
            supervisor.wait_ready(part)
            assert stat.S_IMODE(socket_path(settings).stat().st_mode) & 0o077 == 0
            target = WorkspaceFileTarget([str(workspace_path(settings))])
            with WorkspaceProcessContext(instance, workspace_load_target=target) as workspace:
                location = workspace.create_request_context().get_code_location("correctly")
                (repository,) = location.get_repositories().values()
                assert repository.has_job("retrain") and repository.has_sensor("retrain_sensor")
            os.kill(child.popen.pid, signal.SIGSTOP)
            wait(lambda: supervisor.restart_dead() == ["code"])
            supervisor.wait_ready(part)
        finally:
            supervisor.stop()


def test_a_home_with_a_long_path_has_its_socket_in_a_closed_folder(settings: Settings, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path.parent))
    far = settings.changed(platform={"home": tmp_path / ("far" * 40)})
    path = socket_path(far)
    assert len(str(path)) < 104 and path.parent.stat().st_mode & 0o077 == 0
    assert path == socket_path(far) != socket_path(settings.changed(platform={"home": tmp_path / ("off" * 40)}))
    path.parent.chmod(0o755)
    with pytest.raises(UnreachableError, match="choose a shorter CORRECTLY_HOME"):
        socket_path(far)


def test_the_workspace_file_names_the_same_location_as_the_one_that_ships(settings: Settings):
    make_instance(settings).dispose()
    (own,) = yaml.safe_load(workspace_path(settings).read_text())["load_from"]
    assert own == {"grpc_server": {"socket": str(socket_path(settings)), "location_name": "correctly"}}


def test_what_the_code_is_stays_the_same_until_a_file_changes():
    assert source_state() == source_state() != frozenset()
