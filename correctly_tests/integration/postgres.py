"""A real PostgreSQL server for tests: initdb and pg_ctl in a temporary directory, on a free loopback port.

Belongs here: starting and stopping the server. Does not belong here: any test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT


@dataclass(frozen=True)
class Postgres:
    """A running server. ``folder`` is its data directory's parent."""

    port: int
    folder: Path

    def stop(self, how: str = "immediate") -> None:
        """End it: ``fast`` as a restart does, ``immediate`` as a crash."""
        self._control("-m", how, "stop")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off -c max_connections=60"
        self._control("-l", str(self.folder / "log"), "-o", options, "start")

    def kill(self) -> None:
        """kill -9 of the server and of all that it started."""
        server = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
        family = [server, *server.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=20)

    def _control(self, *words: str) -> None:
        call(self.folder, str(find_programs() / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *words)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """A fresh database; returns its URL."""
        connection = psycopg2.connect(self.url())
        connection.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return self.url(name)


def find_programs() -> Path:
    """The folder of initdb and pg_ctl; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if not folders:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql.")
    return folders[0]


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server of this test's own, gone afterwards. The superuser is ``postgres``, without a password, on loopback."""
    folder = Path(tempfile.mkdtemp(prefix="correctly-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Postgres(port, folder)
    initdb = (str(find_programs() / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "--auth=trust")
    try:
        call(folder, *initdb, "-E", "UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def call(folder: Path, *command: str) -> None:
    """Run one of PostgreSQL's programs.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    # PostgreSQL does not run as root: Debian's package brings the user postgres for it.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run([*as_user, *command], capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")
