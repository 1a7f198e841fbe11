"""Starting, watching and stopping the parts on one machine.

Belongs here: child processes, their logs, readiness, restarts with back-off, and making sure that none outlives us. Does
not belong here: which parts there are (processes.py), what a person is shown (up.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx
import psutil

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import CorrectlyError, PermanentError, UnreachableError
from correctly_assets.platform.log_files import open_log, rotate_logs
from correctly_assets.platform.processes import Process, environment_of
from correctly_assets.settings import Settings
from correctly_assets.workflows.process_identity import find_running, this_process

log = logging.getLogger(__name__)

_LOOK_AGAIN = 10.0
"""Seconds between two looks at whether a part answers, and at the size of the logs."""
_LOOK_AT_CODE = 60.0
"""Seconds between two looks at whether the code has changed that a part loaded."""
_PATIENCE = 8.0
"""Seconds that an answer may take by which a part shows that it is there: a busy machine takes its time."""
_TRY_AGAIN = 60.0
"""Seconds until a part whose program is gone is looked for again."""
_LIBC = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
_PR_SET_PDEATHSIG = 1


class PortTaken(CorrectlyError):
    """Another program listens on a port the platform needs."""

    code = "port_taken"
    exit_code = 4


def _as_a_part() -> None:
    # `nohup correctly up &` ignores Ctrl-C, which children would inherit; Dagster then has SIGTERM ignored too, and no part
    # would stop before it is killed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    # Linux only; elsewhere the next `up` clears what a killed supervisor left.
    if _LIBC is not None and hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class PortRefused(CorrectlyError):
    """A port, or the address before it, may not be listened on here."""

    code = "port_refused"
    exit_code = 4


def check_ports(settings: Settings, processes: Iterable[Process]) -> None:
    """Refuse to start when a part could not listen where it should.

    Raises:
        PortTaken: another program listens there. PortRefused: this user may not, or the address is not this machine's. Both name
            the port, the part and the setting to change.
    """
    for process in processes:
        if process.port is None:
            continue
        host, port = process.host(settings), process.port(settings)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # A port in TIME_WAIT is free for a server; without this a quick restart would be refused.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        except OSError as error:
            raise _unusable(process, host, port, error) from error


def _unusable(process: Process, host: str, port: int, error: OSError) -> CorrectlyError:
    name = {"webserver": "DAGSTER", "open-webui": "WEBUI"}.get(process.name, process.name.upper())
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} for {process.title} is taken: stop what listens there, or set CORRECTLY_{name}_PORT."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortRefused(
            f"Port {port} for {process.title} may not be opened by this user (ports below 1024 take rights of their own): set "
            f"CORRECTLY_{name}_PORT to a higher one."
        )
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        setting = f"CORRECTLY_{name}_HOST" if name in ("DAGSTER", "VLLM") else "CORRECTLY_HOST"
        return PortRefused(
            f"{host}, where {process.title} should listen, is no address of this machine: set {setting} to one of its own, or to "
            "127.0.0.1."
        )
    return PortRefused(
        f"{process.title} cannot listen on {host}, port {port} ({error.strerror}); set CORRECTLY_{name}_PORT."
    )


@dataclass
class Child:
    """A running part: its process and how often it had to be started again.

    Attributes:
        started, next_start: when it was started, and when it may be again (monotonic).
        probed, answered: when it was last asked whether it is there, and when it last said so.
        beat: what its pulse was when it was last felt.
        loaded, seen: what its code was when it was started, and at the last look.
    """

    process: Process
    popen: subprocess.Popen[bytes]
    started: float
    restarts: int = 0
    next_start: float | None = None
    probed: float = 0.0
    answered: float | None = None
    beat: object = None
    loaded: object = None
    seen: object = None

    def is_hung(self, now: float) -> bool:
        """Whether it runs and has not answered for too long: since it last did, or since it was started."""
        if self.answered is None:
            # Twice as long as at the start of `up`, where a person waits for it: all parts may be starting at once.
            return now - self.started > 2 * self.process.ready_seconds
        return now - self.answered > self.process.hung_seconds


@dataclass
class Supervisor:
    """Runs the parts as children, each in a session of its own with a log file of its own."""

    settings: Settings
    children: dict[str, Child] = field(default_factory=dict)
    stopping: bool = False
    before_restart: dict[str, Callable[[], object]] = field(default_factory=dict)
    """By a part's name, what is done once it has ended and its descendants are killed, before it is started again."""
    rotate_at: float = 0.0
    """When the logs' sizes are looked at again (monotonic)."""
    code_at: float = 0.0
    """When the parts' code is looked at again (monotonic)."""
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False))
    """What all parts are asked with: to make a client takes twenty times as long as to ask."""

    def start(self, process: Process) -> Child:
        """Start one part. Its output is appended to ``logs/NAME.log``.

        Raises:
            PermanentError: its program, or the interpreter that its first line names, is missing or may not be run.
        """
        argv, extra = process.command(self.settings)
        env = environment_of(process, self.settings, extra)
        loaded = process.source() if process.source else None
        self.settings.platform.logs_dir.mkdir(parents=True, exist_ok=True)
        with open_log(self.settings.platform.logs_dir / f"{process.name}.log") as output:
            try:
                popen = subprocess.Popen(
                    argv,
                    env=env,
                    cwd=self.settings.platform.home,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # A session of its own: Ctrl-C reaches only the supervisor, which stops the parts in order.
                    start_new_session=True,
                    # MLflow, vLLM and Dagster's daemon are not ours to change; what they write is its owner's alone too.
                    umask=0o077,
                    preexec_fn=_as_a_part,
                )
            except (FileNotFoundError, PermissionError) as error:
                raise PermanentError(
                    f"{process.title} cannot be started: {error.filename}: {error.strerror}. Run `make install`."
                ) from error
        known = self.children.get(process.name)
        child = Child(process, popen, time.monotonic(), known.restarts + 1 if known else 0, loaded=loaded)
        self.children[process.name] = child
        return child

    def is_ready(self, process: Process, seconds: float = 2.0) -> bool:
        """Whether the part answers within some seconds (or, where it cannot be asked, runs)."""
        child = self.children.get(process.name)
        if child is not None and child.popen.poll() is not None:
            return False
        url = process.url(self.settings)
        if process.answers is not None:
            ready = process.answers(self.settings, seconds)
        elif url is None:
            return child is not None
        else:
            try:
                ready = self.client.get(url + process.health, timeout=seconds).status_code == 200
            except httpx.HTTPError:
                return False
        if ready and child is not None:
            child.answered = time.monotonic()
        return ready

    def wait_ready(self, process: Process, tick: Callable[[float], None] = lambda seconds: None) -> float:
        """Wait until a part is ready; returns the seconds it took.

        Raises:
            UnreachableError: it ended, or was not ready in time; the message names its log.
        """
        child = self.children[process.name]
        while not self.is_ready(process):
            seconds = time.monotonic() - child.started
            code = child.popen.poll()
            if code is not None:
                raise UnreachableError(
                    f"{process.title} ended with code {code} at start: see `correctly logs {process.name}`."
                )
            if seconds > process.ready_seconds:
                raise UnreachableError(
                    f"{process.title} was not ready after {process.ready_seconds:.0f} s: see `correctly logs {process.name}`."
                )
            tick(seconds)
            time.sleep(0.25)
        return time.monotonic() - child.started

    def restart_dead(self) -> list[str]:
        """Start again every part that has ended, with back-off, and end one that runs and answers no more, so that the next
        call starts it again. Returns the names of those started. No failure is raised: what cannot be done now is tried again.
        """
        if not self.stopping:
            _go_on_after(self._rotate_logs)
            _go_on_after(self._end_hung)
            _go_on_after(self._end_outdated)
        started: list[str] = []
        for name, child in list(self.children.items()):
            if self.stopping or child.popen.poll() is None:
                continue
            now = time.monotonic()
            if child.next_start is None:
                lived = now - child.started
                # A part that lived for minutes starts again at once; one that dies at once waits ever longer.
                child.next_start = now + (0.5 if lived > 60 else min(60.0, 2.0 ** min(child.restarts, 6)))
            if now >= child.next_start:
                _kill_descendants(child.popen.pid)
                self._prepare_restart(name)
                try:
                    fresh = self.start(child.process)
                except (PermanentError, OSError, MemoryError) as error:
                    # It is being installed anew, or there is no memory or disk for it now: the other parts run on, and this
                    # one is tried again.
                    log.error(f"{child.process.title} could not be started again: {error}")
                    child.next_start = now + _TRY_AGAIN
                    continue
                if now - child.started > 300:
                    fresh.restarts = 0
                started.append(name)
        return started

    def _rotate_logs(self) -> None:
        if time.monotonic() >= self.rotate_at:
            self.rotate_at = time.monotonic() + _LOOK_AGAIN
            rotate_logs(self.settings.platform.logs_dir)

    def _end_hung(self) -> None:
        """Ask one part whether it is there, the one that was not asked for longest; end it where it has not been for long."""
        now = time.monotonic()
        parts = self.children.values()
        watched = [one for one in parts if one.process.port or one.process.answers or one.process.pulse]
        running = [child for child in watched if child.popen.poll() is None]
        due = [child for child in running if now - max(child.probed, child.started) >= _LOOK_AGAIN]
        if not due:
            return
        child = min(due, key=lambda child: child.probed)
        child.probed = now
        answers = self._beats(child) if child.process.pulse else self.is_ready(child.process, _PATIENCE)
        if not answers and child.is_hung(time.monotonic()):
            log.error(f"{child.process.title} runs and does not answer: it is ended and started again.")
            self.end(child.process.name)

    def _end_outdated(self) -> None:
        """End the parts that loaded code which has changed since, once it changes no longer: an installation takes a while."""
        if time.monotonic() < self.code_at:
            return
        self.code_at = time.monotonic() + _LOOK_AT_CODE
        for name, child in self.children.items():
            if child.process.source is None or child.popen.poll() is not None:
                continue
            source = child.process.source()
            if source != child.loaded and source == child.seen:
                log.warning(f"The code that {child.process.title} loaded has changed: it is started again.")
                self.end(name)
            child.seen = source

    def _beats(self, child: Child) -> bool:
        """Whether the pulse of a part has changed since it was last felt. What it says of the time is not looked at: clocks are set."""
        assert child.process.pulse is not None
        try:
            beat = child.process.pulse(self.settings)
        except (
            Exception
        ) as error:  # a database that is away says nothing of the part; it has its time anew when that is back
            log.warning(f"Whether {child.process.title} is at work could not be seen: {error}")
            child.answered = time.monotonic()
            return True
        changed = child.beat is not None and beat != child.beat
        child.beat = beat if beat is not None else child.beat
        if changed:
            child.answered = time.monotonic()
        return changed

    def _prepare_restart(self, name: str) -> None:
        try:
            self.before_restart.get(name, lambda: None)()
        except Exception:  # a database that is away, say, must not keep the part from being started
            log.exception("What is done before %s starts again failed.", name)

    def end(self, name: str) -> None:
        """Kill one part at once; `restart_dead` starts it again. For an engine whose answers can no longer be trusted."""
        child = self.children.get(name)
        if child is not None and child.popen.poll() is None:
            _kill_tree(child.popen.pid)
            child.popen.wait()
            child.next_start = time.monotonic()

    def stop(self) -> None:
        """Stop every part in reverse order, then make sure that no descendant is left."""
        self.stopping = True
        trees = {name: _tree(child.popen.pid) for name, child in self.children.items()}
        # The daemon first: its run workers forward the signal to a training child, which writes a checkpoint.
        for name, child in reversed(list(self.children.items())):
            for member in [child.popen.pid] if child.process.ends_own_workers else [p.pid for p in trees[name]]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGTERM)
        for name, child in reversed(list(self.children.items())):
            deadline = time.monotonic() + child.process.stop_seconds
            _, alive = psutil.wait_procs(trees[name], timeout=max(0.0, deadline - time.monotonic()))
            for member in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
        for member in leftovers(self.settings.platform.home):
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        for child in self.children.values():
            child.popen.wait()


def _go_on_after(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:  # a disk that is full, say, must not end whoever keeps the other parts running
        log.exception("Watching over the parts failed in one thing; it is tried again.")


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return []


def _kill_tree(pid: int) -> None:
    for member in reversed(_tree(pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def _kill_descendants(pid: int) -> None:
    # The session id of a dead leader still names its orphans (vLLM's engine after its API server was killed).
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == pid and process.pid != pid:
                process.kill()


def leftovers(home: Path) -> list[psutil.Process]:
    """Processes that an earlier supervisor of the same HOME started and did not live to stop.

    They are told by an environment variable that every descendant inherits, never by name.
    """
    found: list[psutil.Process] = []
    ancestors = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in ancestors and process.environ().get("CORRECTLY_SUPERVISED") == str(home):
                found.append(process)
    return found


def clear_leftovers(home: Path) -> int:
    """Kill what an earlier supervisor left behind. Returns how many processes there were."""
    found = leftovers(home)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=10)
    return len(found)


# ------------------------------------------------------------------ the supervisor's own record


def claim(home: Path) -> IO[str] | None:
    """The right to supervise HOME, which lasts until what is returned is closed or the process ends; None where another
    process has it. Two that start at once do not both get it."""
    path = home / "run" / "supervisor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def record_path(home: Path) -> Path:
    """The file in which a running supervisor keeps its process ID."""
    return home / "run" / "supervisor.json"


def write_record(home: Path) -> None:
    """Say that this process supervises HOME."""
    write_text_atomically(record_path(home), json.dumps(this_process()))


def running_supervisor(home: Path) -> psutil.Process | None:
    """The supervisor of HOME, if one runs; a later process with its number is not it."""
    try:
        return find_running(json.loads(record_path(home).read_text()))
    except (FileNotFoundError, ValueError, KeyError):
        return None


def remove_record(home: Path) -> None:
    """Remove that file; one that is gone is no error."""
    record_path(home).unlink(missing_ok=True)
