"""Dagster's code server: the one process that holds the definitions for the daemon and the web server, and evaluates the sensors.

Left to themselves both start servers of their own, and the daemon replaces its server every minute by another that imports everything
anew: most of what a platform at rest would do.

Belongs here: its command, where it listens, the workspace file that names it, whether it answers, and whether its code has changed.
Does not belong here: starting it (supervisor.py), or the runs' workers, which are no children of it (run_launcher.py).
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import yaml

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import UnreachableError
from correctly_assets.settings import PROJECT_ROOT, Settings, shipped

_LONGEST = 100
"""Bytes that the path of a unix socket may have; systems allow 104 or 108, with the zero at its end."""


def code_server_command(settings: Settings) -> tuple[list[str], dict[str, str]]:
    """What starts the code server, for `Process.command`."""
    location = _location()
    argv = [sys.executable, "-m", "dagster", "api", "grpc", "--socket", str(socket_path(settings))]
    argv += ["--module-name", location["module_name"], "--location-name", location["location_name"]]
    argv += ["--empty-working-directory", "--log-level", "warning"]
    return argv, {}


def socket_path(settings: Settings) -> Path:
    """Where the code server listens: in HOME, which is closed to other users; where that path would be too long, in a folder of this
    user's own beside the system's temporary files.

    Raises:
        UnreachableError: that folder belongs to somebody else.
    """
    path = settings.platform.home / "run" / "code-server.sock"
    if len(os.fsencode(path)) <= _LONGEST:
        return path
    name = hashlib.sha256(os.fsencode(settings.platform.home)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"correctly-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077 or folder.is_symlink():
        raise UnreachableError(f"{folder} is not this user's alone: remove it, or choose a shorter CORRECTLY_HOME.")
    return folder / "code-server.sock"


def workspace_path(settings: Settings) -> Path:
    """The workspace file of the daemon and the web server; `dagster dev` and `dg` read the repository's."""
    return settings.platform.dagster_home / "workspace.yaml"


def write_workspace(settings: Settings) -> None:
    """Write that file, and make the folder that the server listens in."""
    socket_path(settings).parent.mkdir(parents=True, exist_ok=True)
    server = {"socket": str(socket_path(settings)), "location_name": _location()["location_name"]}
    write_text_atomically(
        workspace_path(settings), yaml.safe_dump({"load_from": [{"grpc_server": server}]}, sort_keys=False)
    )


def code_server_answers(settings: Settings, seconds: float) -> bool:
    """Whether it answers within some seconds."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        DagsterGrpcClient(socket=str(socket_path(settings))).get_server_id(timeout=max(1, round(seconds)))
    except DagsterUserCodeUnreachableError:
        return False
    return True


def source_state() -> object:
    """Something that differs once a file of our own code is another than before."""
    files = (PROJECT_ROOT / "correctly_assets").rglob("*.py")
    return frozenset((str(file), file.stat().st_mtime_ns) for file in files)


def _location() -> dict[str, str]:
    """Module and name of the code location, as the repository's workspace.yaml has them."""
    (entry,) = yaml.safe_load(shipped("workspace.yaml").read_text())["load_from"]
    return entry["python_module"]
