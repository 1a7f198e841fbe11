"""Supervision with real child processes: readiness, healing, stopping, and what a killed supervisor leaves."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rich.console import Console

from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.platform.background import tail
from correctly_assets.platform.dagster_instance import make_instance, newest_beat
from correctly_assets.platform.log_files import LossyOutput, open_log, rotate_logs
from correctly_assets.platform.processes import BY_NAME, PROCESSES, Process
from correctly_assets.platform.supervisor import (
    Child,
    PortRefused,
    PortTaken,
    Supervisor,
    check_ports,
    claim,
    clear_leftovers,
    running_supervisor,
    write_record,
)
from correctly_assets.settings import Settings

SERVER = "import http.server,sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server(port: int, **changes) -> Process:
    argv = [sys.executable, "-c", SERVER, str(port)]
    return Process("server", "Server", lambda s: (argv, {}), lambda s: port, "/", **changes)


@pytest.fixture
def supervisor(settings):
    settings.platform.home.mkdir(parents=True)
    made = Supervisor(settings)
    yield made
    made.stop()


def wait_until(condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_part_is_ready_when_it_answers_and_is_started_again_when_it_dies(supervisor):
    part = server(free_port())
    child = supervisor.start(part)
    supervisor.wait_ready(part)
    os.kill(child.popen.pid, signal.SIGKILL)
    child.popen.wait()
    assert not supervisor.is_ready(part)
    assert wait_until(lambda: supervisor.restart_dead() == ["server"])
    supervisor.wait_ready(part)
    assert supervisor.children["server"].restarts == 1


@pytest.mark.slow
def test_what_is_due_before_a_restart_is_done_and_keeps_no_part_down(supervisor):
    done: list[str] = []

    def fail() -> None:
        done.append("the old one is gone" if not psutil.pid_exists(old) else "the old one runs")
        raise OSError("The database is away.")

    part = server(free_port())
    supervisor.before_restart["server"] = fail
    child = supervisor.start(part)
    old = child.popen.pid
    assert done == []
    child.popen.kill()
    child.popen.wait()
    assert wait_until(lambda: supervisor.restart_dead() == ["server"])
    supervisor.wait_ready(part)
    assert done == ["the old one is gone"]


def test_parts_of_a_platform_started_in_the_background_can_be_stopped(supervisor):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        child = supervisor.start(server(free_port()))
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    status = Path(f"/proc/{child.popen.pid}/status").read_text()
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert not ignored & (1 << (signal.SIGINT - 1)) and not ignored & (1 << (signal.SIGTERM - 1))


# Answers its health check until told to hang, then keeps every connection open and says nothing.
HANGING = """
import http.server, signal, sys, time
hung = []
signal.signal(signal.SIGUSR1, lambda *_: hung.append(1))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while hung: time.sleep(1)
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.mark.slow
def test_a_part_that_runs_and_does_not_answer_is_started_again(supervisor, monkeypatch):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AGAIN", 0.1)
    monkeypatch.setattr("correctly_assets.platform.supervisor._PATIENCE", 0.3)
    port = free_port()
    part = Process(
        "hangs", "Part", lambda s: ([sys.executable, "-c", HANGING, str(port)], {}), lambda s: port, hung_seconds=1
    )
    child = supervisor.start(part)
    supervisor.wait_ready(part)
    assert supervisor.restart_dead() == []
    os.kill(child.popen.pid, signal.SIGUSR1)
    hung_since = time.monotonic()
    assert wait_until(lambda: supervisor.restart_dead() == ["hangs"])
    assert time.monotonic() - hung_since >= 1
    supervisor.wait_ready(part)
    assert supervisor.children["hangs"].popen.pid != child.popen.pid


# Writes the time into a file until it is stopped.
BEATING = """
import sys, time
while True:
    open(sys.argv[1], "w").write(str(time.monotonic())); time.sleep(0.05)
"""


def beating(pulse: Path, **more: Any) -> Process:
    def feel(settings: Settings) -> str | None:
        return (pulse.read_text() or None) if pulse.exists() else None

    return Process("beats", "Part", lambda s: ([sys.executable, "-c", BEATING, str(pulse)], {}), pulse=feel, **more)


def test_a_part_without_a_port_whose_pulse_stands_still_is_started_again(supervisor, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AGAIN", 0.1)
    child = supervisor.start(beating(tmp_path / "pulse", hung_seconds=2))
    assert wait_until(lambda: supervisor.restart_dead() or child.answered)
    os.kill(child.popen.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    assert wait_until(lambda: supervisor.restart_dead() == ["beats"])
    assert time.monotonic() - stopped >= 1.5
    fresh = supervisor.children["beats"]
    assert fresh.popen.pid != child.popen.pid and not psutil.pid_exists(child.popen.pid)
    assert wait_until(lambda: supervisor.restart_dead() or fresh.answered)


@pytest.mark.slow
def test_a_part_whose_code_has_changed_is_started_again_once_it_is_whole(supervisor, monkeypatch):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AT_CODE", 0.0)
    code = ["old"]
    part = Process("loads", "Part", lambda s: ([sys.executable, "-c", "input()"], {}), source=lambda: list(code))
    child = supervisor.start(part)
    assert supervisor.restart_dead() == supervisor.restart_dead() == []
    for step in ("half installed", "installed"):
        code[:] = [step]
        assert supervisor.restart_dead() == [] and child.popen.poll() is None
    assert supervisor.restart_dead() == ["loads"]
    assert supervisor.children["loads"].popen.pid != child.popen.pid
    assert supervisor.restart_dead() == supervisor.restart_dead() == []


def test_a_pulse_that_cannot_be_felt_is_no_reason_to_end_a_part(supervisor, tmp_path: Path, monkeypatch, caplog):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AGAIN", 0.0)

    def away(settings: Settings) -> None:
        raise OSError("the database is away")

    child = supervisor.start(replace(beating(tmp_path / "pulse", hung_seconds=0, ready_seconds=0), pulse=away))
    for _ in range(3):
        assert supervisor.restart_dead() == [] and child.popen.poll() is None
    assert "Whether Part is at work could not be seen: the database is away" in caplog.text


@pytest.mark.slow
def test_a_daemon_of_dagster_that_is_stopped_is_started_again(supervisor, settings, monkeypatch):
    monkeypatch.setattr("correctly_assets.platform.supervisor._LOOK_AGAIN", 0.1)
    make_instance(settings).dispose()
    assert newest_beat(settings) is None
    argv = [sys.executable, "-m", "dagster._daemon", "run", "--empty-workspace"]
    daemon = replace(BY_NAME["daemon"], command=lambda s: (argv, {}), hung_seconds=1)
    child = supervisor.start(daemon)
    assert wait_until(lambda: newest_beat(settings), 120)
    os.kill(child.popen.pid, signal.SIGSTOP)
    child.answered = time.monotonic()
    assert wait_until(lambda: supervisor.restart_dead() == ["daemon"], 60)
    stopped_at = newest_beat(settings)
    assert not psutil.pid_exists(child.popen.pid)
    assert wait_until(lambda: newest_beat(settings) != stopped_at, 120)


def test_a_part_is_given_time_to_start_before_it_counts_as_hung(supervisor):
    part = server(free_port(), ready_seconds=100)
    child = Child(part, supervisor.start(part).popen, started=1000.0)
    assert not child.is_hung(1150.0) and child.is_hung(1201.0)
    child.answered = 1100.0
    assert not child.is_hung(1189.0) and child.is_hung(1191.0)


def test_a_start_for_which_there_is_no_memory_is_tried_again(supervisor, caplog):
    def command(settings):
        if first:
            first.pop()
            return [sys.executable, "-c", ""], {}
        raise OSError(12, "Cannot allocate memory")

    first = [1]
    child = supervisor.start(Process("part", "Part", command))
    child.popen.wait()
    child.next_start = 0.0
    assert supervisor.restart_dead() == []
    assert child.next_start is not None and child.next_start > time.monotonic() + 30
    assert "Part could not be started again" in caplog.text


def test_a_log_is_rotated_while_its_part_writes_on(settings):
    folder = settings.platform.logs_dir
    folder.mkdir(parents=True)
    path = folder / "part.log"
    with open_log(path) as output:
        output.write(b"a" * 2000)
        output.flush()
        assert rotate_logs(folder, largest=1000) == ["part"]
        output.write(b"what came later")
        output.flush()
    assert path.read_bytes() == b"what came later"
    assert (folder / "part.log.1").read_bytes() == b"a" * 2000
    assert rotate_logs(folder, largest=1000) == []


def test_whoever_follows_a_log_sees_what_comes_after_its_rotation(settings):
    folder = settings.platform.logs_dir
    folder.mkdir(parents=True)
    (folder / "part.log").write_text("before " * 100 + "\n")
    lines = tail(settings.platform, "part", 1, follow=True)
    next(lines)
    rotate_logs(folder, largest=10)
    with open_log(folder / "part.log") as output:
        output.write(b"after\n")
    assert next(lines) == "after\n"


def test_output_that_a_full_disk_does_not_take_ends_nobody():
    # Without a buffer, which would be written once more at the end.
    with io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True) as full:
        console = Console(file=full)
        with pytest.raises(OSError, match="No space left"):
            console.print("said")
        console.file = LossyOutput(full)  # pyright: ignore[reportAttributeAccessIssue]
        console.print("said")


def test_one_process_at_a_time_may_supervise_a_home(settings):
    first = claim(settings.platform.home)
    assert first is not None
    ask = "import sys; from pathlib import Path; from correctly_assets.platform.supervisor import claim; sys.exit(claim(Path(sys.argv[1])) is None)"
    asked = [sys.executable, "-c", ask, str(settings.platform.home)]
    assert subprocess.run(asked).returncode == 1
    first.close()
    assert subprocess.run(asked).returncode == 0


def test_a_proxy_for_the_outside_is_asked_for_nothing_on_this_machine(supervisor, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    part = server(free_port())
    child = supervisor.start(part)
    assert supervisor.wait_ready(part) < 20
    environ = Path(f"/proc/{child.popen.pid}/environ").read_bytes().split(b"\0")
    assert b"NO_PROXY=intranet.example,127.0.0.1,localhost,::1" in environ


def test_what_a_part_writes_is_for_its_owner_alone(supervisor):
    before = os.umask(0o022)
    try:
        child = supervisor.start(server(free_port()))
    finally:
        os.umask(before)
    status = Path(f"/proc/{child.popen.pid}/status").read_text()
    assert int(status.partition("Umask:")[2].split()[0], 8) == 0o077
    for log in supervisor.settings.platform.logs_dir.glob("*.log"):
        assert log.stat().st_mode & 0o077 == 0


def test_a_part_that_ends_at_start_is_named_with_its_log(supervisor):
    part = Process(
        "broken", "Broken part", lambda s: ([sys.executable, "-c", "raise SystemExit(3)"], {}), lambda s: free_port()
    )
    supervisor.start(part)
    with pytest.raises(UnreachableError, match=r"Broken part ended with code 3.*logs broken"):
        supervisor.wait_ready(part)


def test_a_part_whose_program_is_missing_is_named_with_the_remedy(supervisor, tmp_path: Path):
    program = tmp_path / "moved"
    with pytest.raises(PermanentError, match=r"Moved part cannot be started: .*moved: No such file.*`make install`"):
        supervisor.start(Process("moved", "Moved part", lambda s: ([str(program)], {})))
    # As after its environment was moved: the script is there, what its first line names is not.
    program.write_text("#!/nowhere/python\n")
    program.chmod(0o700)
    with pytest.raises(PermanentError, match="Run `make install`"):
        supervisor.start(Process("moved", "Moved part", lambda s: ([str(program)], {})))


def test_a_part_whose_program_went_away_meanwhile_takes_no_other_with_it(supervisor, tmp_path: Path, caplog):
    program = tmp_path / "part"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    # One that starts again after the other, in the order of the table.
    supervisor.start(Process("gone", "Gone part", lambda s: ([str(program)], {})))
    ended = supervisor.start(Process("other", "Other", lambda s: ([sys.executable, "-c", ""], {})))
    ended.popen.wait()
    program.unlink()
    assert wait_until(lambda: supervisor.restart_dead() == ["other"])
    assert "Gone part cannot be started" in caplog.text and "make install" in caplog.text
    assert supervisor.children["gone"].restarts == 0


def test_stopping_leaves_no_child_and_no_grandchild(supervisor, settings):
    code = "import subprocess,sys,time; subprocess.Popen([sys.executable,'-c','import time; time.sleep(60)'], start_new_session=True); time.sleep(60)"
    part = Process("family", "Family", lambda s: ([sys.executable, "-c", code], {}))
    child = supervisor.start(part)
    root = psutil.Process(child.popen.pid)
    assert wait_until(lambda: len(root.children(recursive=True)) == 1)
    family = [root, *root.children(recursive=True)]
    supervisor.stop()
    assert wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))


def test_what_a_killed_supervisor_left_is_found_by_home_and_not_by_name(supervisor, settings, tmp_path: Path):
    supervisor.start(
        Process("sleeper", "Sleeper", lambda s: ([sys.executable, "-c", "import time; time.sleep(60)"], {}))
    )
    other = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={**os.environ, "CORRECTLY_SUPERVISED": str(tmp_path / "other")},
    )
    try:
        assert wait_until(lambda: clear_leftovers(settings.platform.home) == 1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_taken_port_is_one_sentence_with_exit_code_4(settings):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} for Server is taken.*CORRECTLY_SERVER_PORT") as caught:
            check_ports(settings, [server(port)])
        assert caught.value.exit_code == 4


def test_an_address_of_another_machine_is_told_from_a_taken_port(settings):
    settings = settings.changed(platform={"host": "203.0.113.9"})
    with pytest.raises(PortRefused, match=r"203\.0\.113\.9, where Server should listen, is no address.*CORRECTLY_HOST"):
        check_ports(settings, [server(18123)])


def privileged_ports() -> bool:
    """Whether low ports take rights here; in some containers they do not."""
    told = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return told.exists() and int(told.read_text()) > 81


@pytest.mark.skipif(not privileged_ports(), reason="any user may open any port here")
def test_a_port_without_rights_is_told_from_a_taken_port(settings):
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            PortRefused, match=r"Port 81 for Server may not be opened by this user.*CORRECTLY_SERVER_PORT"
        ):
            check_ports(settings, [server(81)])
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("vllm_host", ["127.0.0.1", "10.0.0.9"])
def test_only_gateway_and_chat_listen_where_the_platform_is_opened(settings, vllm_host: str):
    settings = settings.changed(platform={"host": "192.0.2.7"}, serving={"vllm_host": vllm_host})
    expected = {"gateway": "192.0.2.7", "open-webui": "192.0.2.7", "vllm": vllm_host}
    for process in PROCESSES:
        if process.port is not None:
            where = expected.get(process.name, "127.0.0.1")
            assert process.host(settings) == where, process.name
            assert httpx.URL(process.url(settings) or "").host == where
    for name in ("vllm", "mlflow"):
        argv, _ = BY_NAME[name].command(settings)
        assert argv[argv.index("--host") + 1] == expected.get(name, "127.0.0.1")
    assert "192.0.2.7" in BY_NAME["open-webui"].command(settings)[0]
    assert BY_NAME["vllm"].url(settings) == settings.serving.vllm_url
    assert BY_NAME["mlflow"].url(settings) == settings.platform.mlflow_url
    assert BY_NAME["open-webui"].url(settings) == settings.platform.webui_url


def test_a_part_with_an_address_of_its_own_is_probed_there(supervisor):
    # As a machine whose platform listens on its address of the network: all of 127/8 is this machine.
    supervisor.settings = settings = supervisor.settings.changed(platform={"host": "127.0.0.2"})
    part = server(free_port(), host=lambda s: s.serving.vllm_host)
    check_ports(settings, [part])
    supervisor.start(part)
    assert supervisor.wait_ready(part) < 10
    with pytest.raises(PortTaken):
        check_ports(settings, [part])


def test_an_address_of_version_six_is_looked_at_as_one(supervisor):
    port = free_port()
    part = server(port, host=lambda s: "::1")
    check_ports(supervisor.settings, [part])
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", port))
        other.listen()
        with pytest.raises(PortTaken):
            check_ports(supervisor.settings, [part])
    assert part.url(supervisor.settings) == f"http://[::1]:{port}"


def test_a_supervisors_record_is_believed_only_while_that_process_runs(settings):
    assert running_supervisor(settings.platform.home) is None
    write_record(settings.platform.home)
    found = running_supervisor(settings.platform.home)
    assert found is not None and found.pid == os.getpid()
    record = settings.platform.home / "run" / "supervisor.json"
    record.write_text(record.read_text().replace(f'"pid": {os.getpid()}', '"pid": 1'))
    assert running_supervisor(settings.platform.home) is None


def test_every_part_of_the_table_has_a_command_and_its_own_port(settings):
    ports = [process.port(settings) for process in PROCESSES if process.port]
    assert len(ports) == len(set(ports))
    for process in PROCESSES:
        argv, env = process.command(settings)
        assert argv and all(isinstance(part, str) for part in argv)
        assert all(isinstance(value, str) for value in env.values())
