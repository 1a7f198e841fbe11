"""What breaks while people are answered: each part killed or hung, the database away, the clock moved, odd clients."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import psutil
import pytest

from correctly_tests.fault_table import Row
from correctly_tests.faults.conftest import Serving
from correctly_tests.faults.place import Load, Place, wait

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.mark.fault(
    fault="two `correctly up` at once on one HOME", stage="start", expected="one supervises, the other says so and ends"
)
def test_of_two_starters_one_supervises_and_the_other_says_so(serving: Serving, observed: Row) -> None:
    code, words = serving.other
    running = [p for p in serving.place.family() if "light_up" in " ".join(p.cmdline())]
    gateways = [p for p in serving.place.family() if p.cmdline()[-1:] == ["correctly_assets.gateway"]]
    observed(f"{len(running)} runs with {len(gateways)} gateway; the other ended with code {code}: “{words}”",
             champions=serving.place.champions())  # fmt: skip
    assert len(running) == len(gateways) == 1 and code in (0, 4)


@pytest.mark.fault(
    fault="a proxy is set that answers nothing", stage="start", expected="nothing on this machine is asked through it"
)
def test_a_proxy_that_answers_nothing_keeps_no_part_from_starting(serving: Serving, observed: Row) -> None:
    done = serving.place.run("correct", "She go to school.")
    observed(f"ready {serving.seconds:.0f} s after the start; `correctly correct` ended with code {done.returncode}",
             seconds=serving.seconds)  # fmt: skip
    assert done.returncode == 0, done.stderr


def text_of(length: int) -> bytes:
    return b'{"text":"' + b"He go. " * (length // 7) + b'"}'


BODIES = {
    "halves of characters, a NUL, numbers of 5,000 digits": (
        b'{"text":"\\ud800 He go."}', b'{"text":"a\\u0000b"}', b'{"text":' + b"9" * 5000 + b"}", b'{"text":NaN}',
    ),
    "JSON 100,000 levels deep, and bodies too large": (b"[" * 100_000, text_of(420_000), b'{"text":"' + b"a" * 4_100_000 + b'"}'),
    "texts that a careless pattern reads for minutes": (
        b'{"text":"why' + b"!" * 12_000 + b'x"}', b'{"text":"' + b"a" * 12_000 + b'"}', b'{"text":"' + b" " * 12_000 + b'."}',
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.fault(fault=f"a request with {name}", stage="serving", expected="an answer below 500; nobody else waits"))
        for name in BODIES
    ],
)  # fmt: skip
def test_a_hostile_body_is_answered_and_holds_nobody_up(name: str, place: Place, observed: Row) -> None:
    statuses: list[int] = []

    def send() -> None:
        for body in BODIES[name]:
            head = {"Content-Type": "application/json"}
            url = f"{place.gateway}/v1/corrections"
            statuses.append(httpx.post(url, content=body, headers=head, timeout=100, trust_env=False).status_code)

    sender = threading.Thread(target=send)
    sender.start()
    slowest = 0.0
    while sender.is_alive():
        since = time.monotonic()
        assert place.correct("She go home.").status_code == 200
        slowest = max(slowest, time.monotonic() - since)
    observed(f"answered {', '.join(map(str, statuses))}; others waited {slowest:.1f} s at most", seconds=slowest)
    assert len(statuses) == len(BODIES[name]) and all(status < 500 for status in statuses) and slowest < 10


def kill(name: str) -> Callable[[Serving], None]:
    return lambda serving: serving.place.part(name).kill()


def computes_nan(serving: Serving) -> None:
    engine = serving.place.part("vllm")
    serving.place.engine(nan=[serving.adapters[1]])
    wait(lambda: not engine.is_running(), 100, "ended")


def is_busy(serving: Serving) -> None:
    serving.place.engine(away=True)
    time.sleep(4)
    serving.place.engine(away=False)


def restart(serving: Serving) -> None:
    serving.server.stop("fast")
    serving.server.start()


def crash(serving: Serving) -> None:
    serving.server.kill()
    serving.server.start()


def away(serving: Serving) -> None:
    serving.server.stop("fast")
    time.sleep(10)
    serving.server.start()


def leap(seconds: float) -> Callable[[Serving], None]:
    def go(serving: Serving) -> None:
        serving.place.move_clock(seconds)
        time.sleep(2)

    return go


LATER = "who asks meanwhile is told to come back; nothing is lost"
UNDER_LOAD = {
    "gateway": ("kill -9 of the gateway", "it is started again; nothing is lost", kill("gateway")),
    "engine": ("kill -9 of the engine", LATER, kill("vllm")),
    "nan": ("the engine computes NaN", "no such answer; the engine is started again; nothing is lost", computes_nan),
    "busy": ("the engine answers 503 for four seconds", LATER, is_busy),
    "restart": ("PostgreSQL is restarted", "answers go on, reactions wait; nothing is lost", restart),
    "crash": ("kill -9 of PostgreSQL", "answers go on, reactions wait; nothing is lost", crash),
    "away": ("PostgreSQL is away for ten seconds", "answers go on and are written later; nothing is lost", away),
    "tomorrow": ("the clock is set a day ahead", "nothing is started again, nothing is lost", leap(86_400)),
    "earlier": ("the clock is set an hour back", "nothing is started again, nothing is lost", leap(-3_600)),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.fault(fault=fault, stage="serving", expected=expected), id=name)
        for name, (fault, expected, _) in UNDER_LOAD.items()
    ],
)
def test_people_are_answered_again_and_nothing_of_theirs_is_lost(
    name: str, serving: Serving, place: Place, observed: Row
) -> None:
    before = {process.pid for process in place.family()}
    with Load(place) as load:
        since = time.monotonic()
        UNDER_LOAD[name][2](serving)
        load.since(time.monotonic())
        seconds = time.monotonic() - since
        time.sleep(1)
    fresh = {process.pid for process in place.family()} - before
    observed(f"{load.says()}; {len(fresh)} processes were started", seconds=seconds, rows_lost=load.lost(),
             champions=place.champions())  # fmt: skip
    assert bool(fresh) == (name in ("gateway", "engine", "nan")), load.broken[:5]


@pytest.mark.fault(
    fault="the champion's weights are damaged on the disk, and the engine is killed",
    stage="serving",
    expected="the release before it serves",
    remedy="`correctly doctor` names the adapter: put its files back from a backup, or roll back.",
)
def test_damaged_weights_are_not_served_and_the_release_before_is(
    serving: Serving, place: Place, observed: Row
) -> None:
    champion = place.release()
    weights = place.settings.platform.adapters_dir / serving.adapters[1] / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.chmod(0o600)
    weights.write_bytes(whole[:-8])
    try:
        since = time.monotonic()
        place.part("vllm").kill()
        wait(lambda: place.release() != champion and place.ready(), 100, "served by the release before")
        seconds, other, status = time.monotonic() - since, place.release(), place.correct("She go.").status_code
    finally:
        weights.write_bytes(whole)
        place.part("vllm").kill()
    wait(lambda: place.release() == champion and place.ready(), 100, "served by the champion again")
    observed(f"{other} served instead of {champion} (status {status}), and {champion} once its file was back",
             seconds=seconds, champions=place.champions())  # fmt: skip
    assert status == 200


@dataclass
class Odd:
    """A connection to the gateway on which a client does not do its part.

    Attributes:
        seconds: from its opening until the gateway ended it; None as long as it has not.
    """

    link: socket.socket
    opened: float
    seconds: float | None = None

    def watch(self, gateway: psutil.Process) -> None:
        """Wait until the gateway has closed the connection; nothing is read from it."""
        mine = self.link.getsockname()[1]
        while time.monotonic() - self.opened < 200:
            time.sleep(1)
            if not any(one.raddr and one.raddr.port == mine for one in gateway.net_connections("tcp")):
                self.seconds = time.monotonic() - self.opened
                return


def open_odd(place: Place, sent: bytes) -> Odd:
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.connect(("127.0.0.1", place.settings.platform.gateway_port))
    link.settimeout(5)
    odd = Odd(link, time.monotonic())
    with contextlib.suppress(TimeoutError):  # nobody reads on there, for nobody reads the answers here
        link.sendall(sent)
    threading.Thread(target=odd.watch, args=(place.part("gateway"),), daemon=True).start()
    return odd


@pytest.fixture(scope="module")
def odd(serving: Serving) -> Iterator[dict[str, Odd]]:
    """Clients that do nothing for minutes, which pass while a hung engine is waited for."""
    serving.place.wait_ready()
    page = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    post = b"POST /v1/corrections HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    made = {
        "does not read": open_odd(serving.place, page * 300),
        "does not finish its request": open_odd(serving.place, post),
        "does not finish its headers": open_odd(serving.place, b"GET /healthz HTTP/1.1\r\nHost: "),
    }
    yield made
    for one in made.values():
        one.link.close()


@pytest.mark.fault(
    fault="the engine hangs (SIGSTOP)",
    stage="serving",
    expected="no request hangs for good; it is ended and started again",
)
def test_a_hung_engine_is_ended_and_started_again(place: Place, odd: dict[str, Odd], observed: Row) -> None:
    engine = place.part("vllm")
    since = time.monotonic()
    engine.send_signal(signal.SIGSTOP)
    status = place.correct("She go to school today.", seconds=150).status_code
    waited = time.monotonic() - since
    wait(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE, 150, "ended")
    wait(lambda: place.correct("She go to school again.").status_code == 200, 240, "answered")
    observed(f"who asked was answered {status} after {waited:.0f} s", seconds=time.monotonic() - since,
             champions=place.champions())  # fmt: skip
    assert status in (200, 503)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.fault(fault=f"a client that {name}", stage="serving", expected="it is cut off; nobody else notices"))
        for name in ("does not read", "does not finish its request", "does not finish its headers")
    ],
)  # fmt: skip
def test_a_client_that_does_not_do_its_part_is_cut_off(
    name: str, place: Place, odd: dict[str, Odd], observed: Row
) -> None:
    one = odd[name]
    wait(lambda: one.seconds is not None, 100, "cut off")
    since = time.monotonic()
    status = place.correct("She go home late.").status_code
    assert one.seconds is not None
    observed(f"cut off; another client was answered {status} in {time.monotonic() - since:.1f} s", seconds=one.seconds)
    assert status == 200


@pytest.mark.fault(fault="the gateway hangs (SIGSTOP)", stage="serving", expected="it is ended and started again")
def test_a_hung_gateway_is_ended_and_started_again(place: Place, observed: Row) -> None:
    gateway = place.part("gateway")
    since = time.monotonic()
    gateway.send_signal(signal.SIGSTOP)
    wait(lambda: not gateway.is_running() or gateway.status() == psutil.STATUS_ZOMBIE, 150, "ended")
    ended = time.monotonic() - since
    place.wait_ready()
    observed(f"it was ended after {ended:.0f} s", seconds=time.monotonic() - since, champions=place.champions())


@pytest.mark.fault(
    fault="kill -9 of `correctly up`",
    stage="serving",
    expected="its parts end with it; the next start serves the same release",
)
def test_parts_do_not_outlive_their_supervisor(place: Place, observed: Row) -> None:
    release, up = place.release(), place.up
    assert up is not None
    since = time.monotonic()
    up.kill()
    up.wait()
    gone = wait(lambda: not place.family(), 60, "gone")
    place.start()
    place.wait_ready()
    observed(f"no part ran {gone:.0f} s later; {place.release()} serves as before", seconds=time.monotonic() - since,
             champions=place.champions())  # fmt: skip
    assert place.release() == release


@pytest.mark.fault(
    fault="kill -9 of everything, and files of its run cut off in mid-write",
    stage="serving",
    expected="the next start sets aside what cannot be read and serves",
)
def test_a_start_over_torn_files_serves_and_sets_them_aside(place: Place, observed: Row) -> None:
    with Load(place) as load:
        since = time.monotonic()
        place.kill_all()
    run = place.home / "run"
    with (run / "journal.jsonl").open("ab") as file:
        file.write(b'{"correction": {"id": "c_torn", "bef')
    (run / "supervisor.json").write_text('{"pid": 1')
    place.start()
    place.wait_ready()
    aside = run / "journal.jsonl.unreadable"
    wait(aside.exists, 30, "set aside")
    observed(f"{load.says()}; the torn line stands in {aside.name}", seconds=time.monotonic() - since,
             rows_lost=load.lost(), champions=place.champions())  # fmt: skip
