"""What breaks in the middle of a run, stage by stage: real daemon, run worker, trainer and PostgreSQL, on a tiny base model.

Each row lands an example, waits until the run that it starts is at a stage, breaks something, and waits until that example is
decided by a run that ended well.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psutil
import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_assets.platform.dagster_instance import make_instance
from correctly_assets.settings import EMBEDDED_BASE_MODEL
from correctly_assets.training.models.base_model import FORMAT
from correctly_assets.workflows.dead_runs import _worker_pids
from correctly_tests.fault_table import Row
from correctly_tests.faults.place import Place, make_place, wait
from correctly_tests.integration.postgres import Postgres, running_postgres
from correctly_tests.training_tiny import QUICK_RUN, write_base_model

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

TINY = {**QUICK_RUN, "SENSOR_SECONDS": "1"}
PLACES = (
    "harbour",
    "library",
    "market",
    "station",
    "museum",
    "bakery",
    "stadium",
    "airport",
    "chapel",
    "mill",
    "bank",
    "zoo",
)


@dataclass
class Loop:
    """A platform whose loop closes: what has landed, and what Dagster knows of its runs.

    Attributes:
        seconds: from the platform's start until the first release was served.
    """

    place: Place
    server: Postgres
    instance: dg.DagsterInstance
    seconds: float = 0.0
    landed: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def land(self, rows: int = 1) -> None:
        numbers = list(itertools.islice(self._numbers, rows))
        texts = [(f"the {PLACES[n % len(PLACES)]} at {n + 2} o'clock") for n in numbers]
        rows_ = [Example("", f"She go to {text}.", f"She goes to {text}.") for text in texts]
        self.landed += self.place.store.land([identified(row) for row in rows_]).landed

    def steps(self, run_id: str) -> set[str | None]:
        """The steps that a run has begun."""
        entries = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)
        return {entry.dagster_event.step_key for entry in entries if entry.dagster_event}

    def runs(self) -> list[dg.DagsterRun]:
        return [run for run in self.instance.get_runs(limit=20) if run.job_name == "retrain"]

    def decided(self) -> bool:
        """Whether a release that serves was made of everything that has landed."""
        last = self.place.store.last_decision()
        return last is not None and (last.verdict, last.accepted) == ("promoted", self.landed)

    def worker(self) -> None:
        (pid, _), *_ = _worker_pids(self.instance, self.runs()[0].run_id)
        psutil.Process(pid).kill()

    def restart_database(self) -> None:
        self.server.stop("fast")
        self.server.start()

    def restart_everything(self) -> None:
        self.place.kill_all()
        self.place.start()


def put_tiny_base(root: Path) -> Path:
    """A tiny model where the embedded one stands once it is converted, so that its gate holds."""
    base = root / "home" / "models" / EMBEDDED_BASE_MODEL
    base.parent.mkdir(parents=True)
    write_base_model(root).rename(base)
    about = base / "correctly_base.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "revision": f"r1-{FORMAT}"}))
    return base


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    with running_postgres() as server:
        root = tmp_path_factory.mktemp("loop")
        base = put_tiny_base(root)
        parts, database = "vllm,gateway,inbox,code,daemon", server.create_database("team")
        place = make_place(root / "home", parts, database=database, BASE_MODEL=str(base), **TINY)
        instance = make_instance(place.settings)
        made = Loop(place, server, instance)
        try:
            made.land(12)
            place.start()
            since = time.monotonic()
            place.wait_ready(600)
            made.seconds = time.monotonic() - since
            yield made
        finally:
            place.stop()
            instance.dispose()


@pytest.mark.fault(fault="MLflow is away", stage="training", expected="the loop closes without it")
def test_without_mlflow_the_loop_closes(loop: Loop, observed: Row) -> None:
    wait(loop.decided, 300, "decided")
    observed(f"{loop.landed} rows were served as {loop.place.release()} {loop.seconds:.0f} s after the start",
             rows_lost=loop.landed - loop.place.store.counts().accepted, champions=loop.place.champions())  # fmt: skip


STAGES = {
    "train_set": "train_set",
    "training": "lora_adapter",
    "eval_report": "eval_report",
    "between gate and flip": "served_model",
}
AGAIN = "the run starts again and ends well; one champion"
GOES_ON = "the run goes on and ends well; one champion"
FAULTS: dict[str, tuple[str, Callable[[Loop], object]]] = {
    "worker": ("kill -9 of the run's worker", Loop.worker),
    "daemon": ("kill -9 of Dagster's daemon", lambda loop: loop.place.part("daemon").kill()),
    "code": ("kill -9 of Dagster's code server", lambda loop: loop.place.part("code").kill()),
    "trainer": ("kill -9 of the trainer", lambda loop: loop.place.part("correctly_assets.training").kill()),
    "engine": ("kill -9 of the engine", lambda loop: loop.place.part("vllm").kill()),
    "gateway": ("kill -9 of the gateway", lambda loop: loop.place.part("gateway").kill()),
    "database": ("PostgreSQL is restarted", Loop.restart_database),
    "everything": ("kill -9 of the whole platform, which is started again", Loop.restart_everything),
    "clock": ("the clock is set an hour back", lambda loop: loop.place.move_clock(-3600)),
}
AT = [
    ("worker", "between gate and flip"),
    ("daemon", "train_set"),
    ("worker", "training"),
    ("code", "training"),
    ("engine", "eval_report"),
    ("database", "training"),
    ("gateway", "between gate and flip"),
    ("everything", "eval_report"),
    ("trainer", "training"),
    ("clock", "training"),
    ("database", "between gate and flip"),
]


@pytest.mark.parametrize(
    ("who", "stage"),
    [
        pytest.param(who, stage, marks=pytest.mark.fault(fault=FAULTS[who][0], stage=stage, expected=GOES_ON if who == "code" else AGAIN),
                     id=f"{who} at {stage}")
        for who, stage in AT
    ],
)  # fmt: skip
def test_what_has_landed_is_served_whatever_ends_in_mid_run(who: str, stage: str, loop: Loop, observed: Row) -> None:
    place, before = loop.place, {run.run_id for run in loop.runs()}
    place.engine(slow_proof=1.5)
    releases = len(place.store.releases(50))
    loop.land()

    def at_stage() -> bool:
        fresh = [run for run in loop.runs() if run.run_id not in before]
        there = bool(fresh) and STAGES[stage] in loop.steps(fresh[0].run_id)
        # The trainer is a process of the run's; before it is there, training has not begun.
        return there and (stage != "training" or bool(place.part("correctly_assets.training")))

    wait(at_stage, 300, f"at {stage}", every=0.3)
    known = {run.run_id for run in loop.runs()}
    since = time.monotonic()
    FAULTS[who][1](loop)

    def moves_on() -> bool:
        last = loop.runs()[0]
        return loop.decided() or (last.run_id not in known and bool(loop.steps(last.run_id)))

    try:
        seconds = wait(moves_on, 300, "at work again", every=0.3)
        wait(loop.decided, 300, "decided", every=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{place.logs()}") from error
    took = time.monotonic() - since
    runs = [run for run in loop.runs() if run.run_id not in before]
    made = len(place.store.releases(50)) - releases
    place.wait_ready()
    observed(
        f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {made} new release; served {took:.0f} s after the fault",
        seconds=seconds,
        rows_lost=loop.landed - place.store.counts().accepted,
        champions=place.champions(),
    )
    place.move_clock(0)
    assert made == 1
    assert len(runs) == 1 or who != "code"
