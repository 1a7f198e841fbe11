"""The platform of a week in fast motion: `correctly up` with every part the real one, on a clock that can be set ahead.

Belongs here: starting, stopping and finding its parts, its clock, what Dagster is asked, and who receives its alerts. Does not
belong here: people (week_traffic.py), rows (week_rows.py), or what happens on which day (bench_week.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil

from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.platform.processes import BY_NAME, parts
from correctly_assets.settings import EMBEDDED_BASE_MODEL, PROJECT_ROOT, Settings
from correctly_assets.workflows.retrain_state import wanted
from correctly_tests.faults.place import CLOCK, Place
from correctly_tests.serving_fakes import free_port

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

DAY = 86_400.0
SETTINGS = {
    # A run of minutes, not tens of them: a few pairs, and a hundred rows of the frozen set.
    "TRAIN_PAIRS": "600",
    "TRAIN_REPLAY_PAIRS": "60",
    "TRAIN_MINUTES": "10",
    "TRAIN_LEARNING_RATE": "0.0002",
    "HUMAN_WEIGHT": "20",
    "EVALUATION_LIMIT": "100",
    # Minutes of waiting become seconds. Quiet is longer than the feedback sensor's interval, so that reactions are trained together.
    "RETRAIN_QUIET_SECONDS": "20",
    "RETRAIN_COOL_DOWN_SECONDS": "30",
    "SENSOR_SECONDS": "3",
    "ALERT_SECONDS": "3",
    # People who must have voted: fewer than it takes to turn a release back.
    "ALERT_VOTES": "5",
    # More than one person may teach in a day, so that harm is done within a day.
    "FEEDBACK_PER_DAY": "90",
}
"""What is compressed beside the clock, without CORRECTLY_; everything else is as it ships."""
_LOCATION = {"repositoryName": "__repository__", "repositoryLocationName": "correctly"}


class Clock:
    """The time of day of every part: the machine's, and as many whole days later as have been left out."""

    def __init__(self, file: Path) -> None:
        self.file, self.ahead = file, 0.0
        self._write()

    def now(self) -> float:
        """Seconds since 1970, as the parts see them."""
        return time.time() + self.ahead

    def next_day(self) -> None:
        """Leave out what is left until the same time tomorrow."""
        self.ahead += DAY
        self._write()

    def _write(self) -> None:
        # In place: the parts have mapped the file into memory.
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("d", self.ahead))


@dataclass(frozen=True)
class Told:
    """One message of the platform's to the webhook, with the time of day at which it came."""

    state: str
    kind: str
    event: str
    message: str
    at: float


class Receiver:
    """Takes the platform's alerts on loopback.

    Attributes:
        told: every message, in order.
    """

    def __init__(self, clock: Clock) -> None:
        told: list[Told] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.append(Told(body["state"], body["kind"], body["event"], body["says"], clock.now()))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.told = told
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@dataclass
class WeekPlace(Place):
    """A platform whose every part is the real one.

    Attributes:
        log: what `correctly up` says. program: the module that is `correctly`.
    """

    clock: Clock = field(kw_only=True)
    log: Path = field(kw_only=True)
    program: str = field(kw_only=True)
    _instances: list[DagsterInstance] = field(default_factory=list, kw_only=True)

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """`correctly up`, in a session of its own."""
        self.home.mkdir(parents=True, exist_ok=True)
        models = self.home / "models"
        ready = PROJECT_ROOT / ".correctly" / "models" / EMBEDDED_BASE_MODEL
        if ready.exists() and not models.exists():
            models.mkdir()
            (models / EMBEDDED_BASE_MODEL).symlink_to(ready)
        with self.log.open("ab") as said:
            self.up = subprocess.Popen(
                [sys.executable, "-m", self.program, "up"],
                env=self.environment,
                cwd=PROJECT_ROOT,
                stdout=said,
                stderr=said,
                start_new_session=True,
                # In the background Ctrl-C is ignored, and children would inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        return self.up

    def run(self, *words: str, seconds: float = 1800) -> subprocess.CompletedProcess[str]:
        """`correctly WORDS` on this HOME."""
        argv = [sys.executable, "-m", self.program, *words]
        return subprocess.run(
            argv, env=self.environment, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=seconds
        )

    def down(self) -> None:
        """`correctly down`, and nothing of ours stays open."""
        done = self.run("down")
        assert done.returncode == 0 and self.up is not None, done.stdout + done.stderr
        self.up.wait(1800)
        self.forget_handles()

    def stop(self) -> None:
        """As Ctrl-C does; what is left after minutes is killed."""
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.up.wait(300)
        self.kill_all()
        self.forget_handles()

    def forget_handles(self) -> None:
        """Close what this process has open of HOME, so that other files may take its place."""
        for one in self._open:
            one.close()
        for one in self._instances:
            one.dispose()
        self._open.clear()
        self._instances.clear()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def part(self, name: str) -> psutil.Process:
        """A part's process: the child of `correctly up` that listens on its port, or else that runs its command.

        Raises:
            StopIteration: it does not run now.
        """
        assert self.up is not None
        process, children = BY_NAME[name], psutil.Process(self.up.pid).children()
        if process.port is None:
            words = " ".join(process.command(self.settings)[0][1:])
            return next(child for child in children if " ".join(child.cmdline()).endswith(words))
        port = process.port(self.settings)
        return next(
            child
            for child in children
            for member in [child, *child.children(recursive=True)]
            for link in member.net_connections("tcp")
            if link.status == psutil.CONN_LISTEN and link.laddr.port == port
        )

    def answers(self, name: str) -> bool:
        """Whether a part runs, and answers where it listens."""
        process = BY_NAME[name]
        self.part(name)
        url = process.url(self.settings)
        return url is None or httpx.get(url + process.health, timeout=5, trust_env=False).status_code == 200

    def names(self) -> list[str]:
        """The parts that run on this machine."""
        return [part.name for part in parts()]

    # -- Dagster and the store ---------------------------------------------------------------------------------------

    @property
    def instance(self) -> DagsterInstance:
        if not self._instances:
            self._instances.append(make_instance(self.settings))
        return self._instances[0]

    def runs(self, job: str) -> list[DagsterRun]:
        """A job's runs, oldest first."""
        return [run for run in reversed(self.instance.get_runs()) if run.job_name == job]

    def at_rest(self) -> bool:
        """Whether nothing runs, every reaction is settled, and what has landed is decided."""
        if any(not run.is_finished for run in self.instance.get_runs(limit=50)) or self.store.pending_feedback(1):
            return False
        last = self.store.last_decision()
        return last is not None and last.fingerprint == wanted(self.store, self.settings)[0]

    def switch(self, kind: str, name: str, *, on: bool) -> None:
        """Start or stop a sensor or schedule, as a person does on Dagster's page."""
        if on:
            field, selector = (
                ("startSensor", "sensorSelector") if kind == "sensor" else ("startSchedule", "scheduleSelector")
            )
            given = {**_LOCATION, f"{kind}Name": name}
            words = ", ".join(f"{key}: {json.dumps(value)}" for key, value in given.items())
            answer = self.graphql(f"mutation {{ {field}({selector}: {{{words}}}) {{ __typename }} }}")
        else:
            where = ", ".join(f"{key}: {json.dumps(value)}" for key, value in _LOCATION.items())
            listed = f"{kind}sOrError(repositorySelector: {{{where}}}) {{ ... on {kind.title()}s {{ results {{ name id }} }} }}"
            rows = self.graphql(f"{{ {listed} }}")[f"{kind}sOrError"]["results"]
            id = next(row["id"] for row in rows if row["name"] == name)
            field = "stopSensor" if kind == "sensor" else "stopRunningSchedule"
            answer = self.graphql(f"mutation {{ {field}(id: {json.dumps(id)}) {{ __typename }} }}")
        kinds = {one["__typename"] for one in answer.values()}
        assert not any("Error" in one for one in kinds), answer

    def graphql(self, query: str) -> dict[str, Any]:
        """What Dagster's web server answers."""
        url = f"{self.settings.platform.dagster_url}/graphql"
        return httpx.post(url, json={"query": query}, timeout=120, trust_env=False).json()["data"]


def make_week_place(root: Path, *, fake: bool = False) -> tuple[WeekPlace, Receiver]:
    """A platform that is not started yet, with ports, a clock and a receiver of its own below a folder.

    Args:
        fake: an engine that answers from a list takes vLLM's place.

    Raises:
        SystemExit: there is no C compiler, without which the clock cannot be set ahead.
    """
    if not shutil.which("cc"):
        raise SystemExit("The clock of a week is set ahead by a small library: install a C compiler (`cc`).")
    root.mkdir(parents=True, exist_ok=True)
    library = root / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, CLOCK, "-ldl"], check=True)
    clock = Clock(root / "clock")
    receiver, home = Receiver(clock), root / "home"
    given = {"HOME": str(home), "BACKUP_DIR": str(root / "backups"), "ALERT_WEBHOOK_URL": receiver.url, **SETTINGS}
    given |= {f"{name}_PORT": str(free_port()) for name in ("GATEWAY", "VLLM", "DAGSTER", "MLFLOW", "WEBUI")}
    for name in [name for name in os.environ if name.startswith("CORRECTLY_")]:
        del os.environ[name]
    # For this process too: it reads the platform's store and asks what it should train.
    os.environ.update({f"CORRECTLY_{name}": value for name, value in given.items()})
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    environment |= {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(clock.file)}
    environment["FAULT_PARTS"] = ",".join(part.name for part in parts())
    program = "correctly_tests.faults.light_up" if fake else "correctly_assets.cli"
    place = WeekPlace(home, "", Settings(), environment, clock=clock, log=root / "up.out", program=program)
    return place, receiver


def seconds_of(at: str) -> float:
    """A time of the store (ISO 8601) in seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def said_at(seconds: float) -> str:
    """A time of day as a result file writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def folder_bytes(paths: Iterable[Path]) -> int:
    """Bytes of files, each counted once however many names it has."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            stat = path.lstat()
            if (stat.st_dev, stat.st_ino) not in seen:
                seen.add((stat.st_dev, stat.st_ino))
                total += stat.st_size
    return total
