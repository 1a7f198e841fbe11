"""The platform that most rows break: gateway, inbox and an engine under `correctly up`, on a real PostgreSQL.

Belongs here: starting it once for all of them. Does not belong here: a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from correctly_assets.core.landing import identified
from correctly_assets.core.types import Example
from correctly_tests.faults.place import Place, make_place, wait
from correctly_tests.integration.postgres import Postgres, running_postgres
from correctly_tests.tiny_adapter import put_adapter, put_base


@dataclass
class Serving:
    """A platform that serves a release and has another to return to.

    Attributes:
        seconds: from its start until it was ready. other: exit code and words of the second starter.
    """

    place: Place
    server: Postgres
    adapters: tuple[str, str]
    seconds: float = 0.0
    other: tuple[int, str] = (0, "")


def fill(place: Place) -> tuple[str, str]:
    """Two releases and a few rows in a platform that has not started; the adapters, the champion's last."""
    put_base(place.settings)
    rows = [Example("", f"He go to the bus stop {n}.", f"He goes to the bus stop {n}.") for n in range(12)]
    place.store.land([identified(row) for row in rows])
    first, second = (put_adapter(place.settings, seed) for seed in (1, 2))
    for adapter in (first, second):
        place.store.add_release(adapter=adapter, base_model="tiny", kind="promotion", why="a test")
    return first, second


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Started by two at once, with a proxy set; see `Serving`."""
    with running_postgres() as server:
        home = tmp_path_factory.mktemp("serving") / "home"
        place = make_place(home, "vllm,gateway,inbox", database=server.create_database("team"))
        made = Serving(place, server, fill(place))
        try:
            starters = place.start(), place.start()
            made.seconds = place.wait_ready()
            wait(lambda: any(one.poll() is not None for one in starters), 60, "left by one of two starters")
            place.up, ended = sorted(starters, key=lambda one: one.poll() is not None)
            words = next(line for line in place.said().splitlines() if "lready" in line or "Another" in line)
            made.other = (ended.wait(), words)
            yield made
        finally:
            place.stop()


@pytest.fixture
def place(serving: Serving) -> Iterator[Place]:
    """The platform, ready before and after."""
    serving.place.wait_ready()
    yield serving.place
    serving.place.move_clock(0)
    serving.place.wait_ready()
