"""A platform whose every part is a process, and people who use it while something breaks.

Belongs here: starting it as `correctly up` does, finding its parts, load on its gateway, what was lost. Does not belong here:
a fault (the tests), or the engine in vLLM's place (engine.py).
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.engine.key import engine_key
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.store import Store, open_store
from correctly_tests.serving_fakes import free_port

MODULES = {
    "vllm": "correctly_tests.faults.engine",
    "gateway": "correctly_assets.gateway",
    "inbox": "correctly_assets.commands.watch_inbox",
    "code": "dagster api grpc",
    "daemon": "dagster._daemon",
}
NOT_YET = (httpx.HTTPError, OSError, psutil.Error, StopIteration, CorrectlyError, DBAPIError)
CLOCK = Path(__file__).with_name("clock.c")


def wait(wanted: Callable[[], Any], seconds: float, what: str, *, every: float = 0.1) -> float:
    """Wait until something is so; the seconds that it took. What is not there yet counts as not so.

    Raises:
        AssertionError: it was not in time.
    """
    started = time.monotonic()
    while True:
        with contextlib.suppress(*NOT_YET):
            if wanted():
                return time.monotonic() - started
        assert time.monotonic() - started < seconds, f"after {seconds:.0f} s: not {what}"
        time.sleep(every)


@dataclass
class Place:
    """A platform on a HOME of its own.

    Attributes:
        environment: what its processes start in.
        up: the process of `correctly up`.
    """

    home: Path
    parts: str
    settings: Settings
    environment: dict[str, str]
    up: subprocess.Popen[bytes] | None = None
    _open: list[Store] = field(default_factory=list)

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self) -> subprocess.Popen[bytes]:
        """`correctly up`, in a session of its own; what it says stands in HOME/up.out."""
        with (self.home / "up.out").open("ab") as said:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "correctly_tests.faults.light_up", "up"],
                env=self.environment,
                cwd=PROJECT_ROOT,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        return self.up

    def run(self, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """`correctly WORDS` on this HOME."""
        argv = [sys.executable, "-m", "correctly_tests.faults.light_up", *words]
        return subprocess.run(
            argv, env=self.environment, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=seconds
        )

    def family(self) -> list[psutil.Process]:
        """Whoever runs for this HOME, `correctly up` first."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("CORRECTLY_HOME") == str(self.home) and process.pid != os.getpid():
                    found.append(process)
        return sorted(found, key=lambda process: process.pid != (self.up.pid if self.up else 0))

    def part(self, name: str) -> psutil.Process:
        """A part's process."""
        return next(p for p in self.family() if MODULES.get(name, name) in " ".join(p.cmdline()))

    def kill_all(self) -> None:
        """kill -9 of everything, the supervisor first, or it would start its parts again."""
        while family := self.family():
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if self.up is not None:
                self.up.wait()
            psutil.wait_procs(family, timeout=5)

    def stop(self) -> None:
        """As Ctrl-C does; what is left is killed."""
        if self.up is not None and self.up.poll() is None:
            self.up.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.up.wait(60)
        self.kill_all()
        for store in self._open:
            store.close()

    def said(self) -> str:
        return (self.home / "up.out").read_text(errors="replace")

    def logs(self) -> str:
        """The end of every log, for a failure's message."""
        ends = [
            f"--- {p.name}\n{p.read_text(errors='replace')[-1500:]}" for p in sorted((self.home / "logs").glob("*.log"))
        ]
        return "\n".join([self.said()[-1500:], *ends])

    def move_clock(self, seconds: float) -> None:
        """Let the time of day of every part be so much later than the machine's."""
        with (self.home / "clock").open("r+b") as file:
            file.write(struct.pack("d", seconds))

    # -- what it answers ---------------------------------------------------------------------------------------------

    @property
    def gateway(self) -> str:
        return self.settings.platform.gateway_url

    def ready(self) -> bool:
        return ask("GET", f"{self.gateway}/readyz").status_code == 200

    def wait_ready(self, seconds: float = 240) -> float:
        try:
            return wait(self.ready, seconds, "ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def release(self) -> str:
        """The release that the gateway serves."""
        return ask("GET", f"{self.gateway}/readyz").json()["release"]

    def correct(self, words: str, seconds: float = 30) -> httpx.Response:
        return ask("POST", f"{self.gateway}/v1/corrections", {"text": words, "reasons": False}, seconds)

    def engine(self, **attributes: Any) -> None:
        """Change the engine: any attribute of FakeEngine."""
        url = f"{self.settings.serving.vllm_url}/v1/models"
        key = {"Authorization": f"Bearer {engine_key(self.home)}"}
        wanted = {name: json.dumps(value) for name, value in attributes.items()}
        answer = httpx.get(url, params=wanted, headers=key, trust_env=False, timeout=10)
        assert answer.status_code in (200, 503), answer.text

    # -- what it keeps -----------------------------------------------------------------------------------------------

    @property
    def store(self) -> Store:
        if not self._open:
            self._open.append(open_store(self.settings.platform.store_url, self.settings.platform.sql_dir))
        return self._open[0]

    def column(self, query: str) -> set[str]:
        with self.store.database.read() as connection:
            return {row[0] for row in connection.execute(text(query))}

    def champions(self) -> int:
        """How many releases serve: the newest of the store, and what the gateway says, which should be the same."""
        champion = self.store.champion()
        return len({champion.id if champion else None, self.release()})


def ask(method: str, url: str, body: Any = None, seconds: float = 30) -> httpx.Response:
    return httpx.request(method, url, json=body, timeout=seconds, trust_env=False)


def make_place(home: Path, parts: str, *, database: str | None = None, **more: str) -> Place:
    """A platform that is not started yet.

    Args:
        parts: names of parts, with commas between.
        database: PostgreSQL's URL; SQLite when None.
        more: further settings, without CORRECTLY_.
    """
    home.mkdir(parents=True, exist_ok=True)
    base, gateway, vllm = home.parent / "base", free_port(), free_port()
    settings = Settings().changed(
        platform={"home": home, "gateway_port": gateway, "database_url": database},
        training={"base_model": str(base)},
        serving={"vllm_port": vllm},
    )
    given = {"HOME": home, "BASE_MODEL": base, "GATEWAY_PORT": gateway, "VLLM_PORT": vllm, "STARTER": "none", **more}
    given |= {f"{name}_PORT": free_port() for name in ("DAGSTER", "MLFLOW", "WEBUI")}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CORRECTLY_")}
    environment |= {f"CORRECTLY_{name}": str(value) for name, value in given.items()}
    environment |= {"FAULT_PARTS": parts, "PYTHONPATH": str(PROJECT_ROOT)}
    # A proxy for the outside that nothing on this machine may ask: port 9 discards.
    environment |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    if database is not None:
        environment["CORRECTLY_DATABASE_URL"] = database
    if shutil.which("cc"):
        library = home.parent / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, CLOCK, "-ldl"], check=True)
        (home / "clock").write_bytes(struct.pack("d", 0.0))
        environment |= {"LD_PRELOAD": str(library), "FAULT_CLOCK": str(home / "clock")}
    return Place(home, parts, settings, environment)


SENTENCES = (
    "She go to school with her friend.",
    "I am agree with the plan of yesterday.",
    "They was late for the meeting again.",
    "He have two cat in the kitchen.",
)


class Load:
    """People who have sentences corrected and react to each answer, while something breaks.

    Attributes:
        answered: (when it was asked for, id) of every answer. reactions: answers whose reaction was accepted with 202.
        later: answers that asked to come back (503). broken: whatever else was no answer.
    """

    def __init__(self, place: Place, people: int = 3) -> None:
        self.answered: list[tuple[float, str]] = []
        self.reactions: dict[str, float] = {}
        self.later, self.broken = 0, list[str]()
        self._place, self._over, self._count = place, threading.Event(), itertools.count()
        self._people = [threading.Thread(target=self._use, args=(n,), daemon=True) for n in range(people)]

    def __enter__(self) -> Load:
        for person in self._people:
            person.start()
        wait(lambda: len(self.reactions) >= 10, 60, "under load")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for person in self._people:
            person.join(60)

    def since(self, moment: float) -> float:
        """Wait until an answer and a reaction came to requests sent after a moment; seconds from it to the later one."""
        wait(lambda: any(at > moment for at, _ in self.answered), 150, "answered again")
        wait(lambda: any(at > moment for at in self.reactions.values()), 150, "taking reactions again")
        return time.monotonic() - moment

    def lost(self) -> int:
        """Answers that are not in the journal, and accepted reactions that are not in the store, once it had time to write."""
        given = {id for _, id in self.answered}

        def missing() -> set[str]:
            journal = self._place.column("SELECT id FROM correction_journal")
            return (given - journal) | (set(self.reactions) - self._place.column("SELECT correction_id FROM feedback"))

        with contextlib.suppress(AssertionError):
            wait(lambda: not missing(), 30, "written")
        return len(missing())

    def says(self) -> str:
        return f"{len(self.answered)} answers, {self.later} times “come back later”, {len(self.broken)} other failures"

    def _use(self, person: int) -> None:
        base = self._place.gateway
        with httpx.Client(trust_env=False, timeout=150) as client:
            while not self._over.is_set():
                sent, n = time.monotonic(), next(self._count)
                words = f"{SENTENCES[n % len(SENTENCES)][:-1]}, {n}."
                answer = self._send(client, f"{base}/v1/corrections", {"text": words, "reasons": False})
                if answer is None:
                    continue
                id = answer["corrections"][0]["id"]
                self.answered.append((sent, id))
                sent = time.monotonic()
                if self._send(client, f"{base}/v1/feedback", {"correction_id": id, "rating": 1}) is not None:
                    self.reactions[id] = sent

    def _send(self, client: httpx.Client, url: str, body: dict[str, Any]) -> Any:
        try:
            answer = client.post(url, json=body)
        except httpx.HTTPError as error:
            self.broken.append(repr(error))
        else:
            if answer.status_code in (200, 202):
                return answer.json()
            if answer.status_code == 503 and "retry-after" in answer.headers:
                self.later += 1
            else:
                self.broken.append(f"{answer.status_code} {answer.text[:200]}")
        self._over.wait(0.2)
        return None


@contextlib.contextmanager
def running(place: Place) -> Iterator[Place]:
    """The platform, from its start until it is ready to its end."""
    try:
        place.start()
        place.wait_ready()
        yield place
    finally:
        place.stop()
