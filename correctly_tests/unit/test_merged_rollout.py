"""The merged rollout from request to rollback: real child processes on loopback, which serve no weights."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from correctly_assets.core.errors import AdapterRefused, UnreachableError
from correctly_assets.runtime.fleet import Fleet, engine_name
from correctly_assets.runtime.promotion import return_to_previous
from correctly_assets.runtime.supervisor import Supervisor
from correctly_assets.runtime.systems import _fleet
from correctly_assets.serving.gateway.options import Options
from correctly_assets.serving.merged import EngineBook, MergedEngines
from correctly_assets.serving.rollout import load_proven
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_tests.serving_fakes import FakeEngine, fake_engine, running_gateway, write_adapter

pytestmark = pytest.mark.slow  # child processes, seconds each

SCRIPT = Path(__file__).resolve().parents[1] / "merged_engine.py"


@dataclass
class Platform:
    """A supervisor with its fleet, looked at twenty times a second as `up` does once."""

    settings: Settings
    store: Store
    base: FakeEngine
    served: str | None = None
    started: list[str] = field(default_factory=list)

    def up(self) -> None:
        def command(adapter: Path, port: int) -> list[str]:
            self.started.append(adapter.name)
            return [sys.executable, str(SCRIPT), str(adapter), str(port), str(self.settings.engines_dir)]

        self.supervisor = Supervisor(self.settings)
        self.fleet = Fleet(self.settings, self.supervisor, self.store, served=lambda _: self.served, command=command)
        self.supervisor.beside.append(self.fleet.tick)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def down(self) -> None:
        self._stop.set()
        self._thread.join(20)
        self.supervisor.stop()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.supervisor.heal()

    def release(self, adapter: str) -> str:
        return self.store.add_release(adapter=adapter, base_model="b", kind="promotion", why="a test").id

    def run(self) -> dict[str, str]:
        """{adapter: state} of every engine that is run or was asked for."""
        return {name: row.state for name, row in (EngineBook(self.settings.engines_dir).rows() or {}).items()}

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.run()
            time.sleep(0.03)

    def load(self, adapter: str, *, keep: bool = False) -> float:
        """Prove an adapter, as evaluation and promotion do, in a client of its own; how far it is from the base."""

        async def main() -> float:
            client = self.client()
            try:
                return (await load_proven(client, self.settings.adapters_dir / adapter, None)).from_base
            finally:
                if not keep:
                    await client.aclose()

        return asyncio.run(main())

    def client(self, patience: float = 20.0) -> MergedEngines:
        return MergedEngines(
            self.base.url, EngineBook(self.settings.engines_dir), timeout=20, patience=patience, poll=0.03
        )


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    with fake_engine() as base:
        monkeypatch.setenv("CORRECTLY_ROLLOUT", "merged")
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(base.port))
        get_settings.cache_clear()
        settings = get_settings()
        settings.home.mkdir(parents=True)
        with open_store(settings.store_url, settings.sql_dir) as store:
            made = Platform(settings, store, base)
            for name in ("aaa", "bbb", "ccc"):
                write_adapter(settings.adapters_dir, name)
            made.up()
            yield made
            made.down()


def mode(platform: Platform, adapter: str, how: str) -> None:
    (platform.settings.adapters_dir / adapter / "mode").write_text(how)


def test_a_candidate_gets_an_engine_once_is_proved_and_answers_under_its_own_name_alone(platform: Platform) -> None:
    assert platform.load("aaa") == pytest.approx(1.5)
    assert platform.load("aaa") == pytest.approx(1.5)  # the next step of the run finds it warm
    assert platform.started == ["aaa"]
    assert platform.base.registered == {}

    async def ask() -> tuple[dict[str, str], str, str]:
        async with platform.client() as client:
            prompt = "Correct this English:\nShe go home.<end_of_turn>"
            own = await client.complete(prompt, model="aaa", max_tokens=9)
            base = await client.complete(prompt, model="base", max_tokens=9)
            return await client.models(), own.text, base.text

    models, own, base = asyncio.run(ask())
    assert set(models) == {"base", "aaa"}
    assert (own, base) == ("She goes home.", "She go home.")


def test_promotion_flips_the_previous_stays_warm_for_its_time_and_is_then_stopped(platform: Platform) -> None:
    platform.load("aaa")
    platform.release("aaa")
    platform.served = "aaa"
    platform.load("bbb")
    assert platform.run() == {"aaa": "ready", "bbb": "ready"}
    platform.release("bbb")
    platform.until(lambda: platform.run() == {"bbb": "ready", "aaa": "ready"})  # what people are answered by still is a
    platform.served = "bbb"
    time.sleep(0.5)
    assert platform.run() == {"bbb": "ready", "aaa": "ready"}

    async def back() -> str:
        async with platform.client() as client:
            release, _ = await return_to_previous(
                platform.store, client, platform.settings.adapters_dir, None, "a test"
            )
            return release.adapter

    began = time.monotonic()
    assert asyncio.run(back()) == "aaa"
    assert time.monotonic() - began < 2 and platform.started == ["aaa", "bbb"], "the previous engine was not warm"
    platform.served = "aaa"
    pids = [child.popen.pid for child in platform.supervisor.children.values()]
    platform.fleet.settings = platform.settings.model_copy(update={"rollout_warm_seconds": 0.0})
    for file in platform.settings.engines_dir.glob("wanted-*.json"):
        file.unlink()
    platform.until(lambda: platform.run() == {"aaa": "ready"})
    platform.until(lambda: not platform.supervisor.leaving)
    assert sum(_alive(pid) for pid in pids) == 1


def test_what_cannot_be_merged_is_refused_in_its_own_words_and_the_champion_keeps_its_engine(
    platform: Platform,
) -> None:
    platform.release("aaa")
    platform.served = "aaa"
    platform.until(lambda: platform.run() == {"aaa": "ready"})
    mode(platform, "bbb", "broken")
    with pytest.raises(AdapterRefused, match="loads: The merged weights answer otherwise"):
        platform.load("bbb")
    platform.until(
        lambda: platform.run().get("aaa") == "ready" and engine_name("bbb") not in platform.supervisor.children
    )
    time.sleep(1.5)
    starts = platform.settings.adapters_dir / "bbb" / "starts"
    assert starts.read_text() == ".", "what cannot be merged is not tried again by itself"
    mode(platform, "bbb", "")
    assert platform.load("bbb") == pytest.approx(1.5)  # asked for anew, it is


def test_an_engine_that_serves_the_base_models_text_is_refused_and_stopped(platform: Platform) -> None:
    mode(platform, "bbb", "like_base")
    with pytest.raises(AdapterRefused) as refused:
        platform.load("bbb")
    assert refused.value.rule == "differs_from_base"
    platform.until(lambda: platform.run() == {})


def test_an_engine_that_dies_at_every_start_is_given_up_with_its_log_named(platform: Platform) -> None:
    mode(platform, "bbb", "dies")
    with pytest.raises(UnreachableError, match=r"ended 3 times at start: see `correctly logs engine-bbb`"):
        platform.load("bbb")


def test_a_killed_engine_comes_back_and_has_to_be_proved_again(platform: Platform) -> None:
    platform.release("aaa")
    platform.load("aaa")

    async def known() -> set[str]:
        async with platform.client() as client:
            return set(await client.models())

    assert asyncio.run(known()) == {"base", "aaa"}
    os.kill(platform.supervisor.children[engine_name("aaa")].popen.pid, signal.SIGKILL)
    platform.until(lambda: platform.run() == {"aaa": "starting"})
    platform.until(lambda: platform.run() == {"aaa": "ready"})
    assert asyncio.run(known()) == {"base"}
    platform.load("aaa")
    assert asyncio.run(known()) == {"base", "aaa"}


def test_after_a_restart_of_the_platform_the_champions_engine_comes_up_by_itself(platform: Platform) -> None:
    platform.load("ccc", keep=True)
    platform.release("aaa")
    platform.until(lambda: platform.run().get("aaa") == "ready")
    platform.down()
    platform.started.clear()
    for file in platform.settings.engines_dir.glob("wanted-*.json"):  # of a run that ended with the platform
        file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', '"pid": 1'))
    platform.up()
    platform.until(lambda: platform.run() == {"aaa": "ready"})
    assert platform.started == ["aaa"]


def test_a_third_adapter_waits_for_room_and_nothing_that_is_in_use_is_stopped_for_it(platform: Platform) -> None:
    platform.release("aaa")
    platform.until(lambda: platform.run() == {"aaa": "ready"})

    async def main() -> None:
        async with platform.client() as first, platform.client(patience=1.0) as second:
            adapters = platform.settings.adapters_dir
            await load_proven(first, adapters / "bbb", None)
            with pytest.raises(UnreachableError, match="ccc waits for room"):
                await load_proven(second, adapters / "ccc", None)
            assert set(await first.models()) == {"base", "bbb"} and platform.run()["aaa"] == "ready"
            await first.unload_adapter("bbb")

    asyncio.run(main())
    platform.load("ccc")
    assert platform.run() == {"aaa": "ready", "ccc": "ready"}


def test_without_a_supervisor_loading_says_so_at_once_in_one_sentence(settings: Settings) -> None:
    async def main() -> None:
        async with MergedEngines("http://127.0.0.1:9", EngineBook(settings.engines_dir), patience=0.1) as client:
            await client.load_adapter("aaa", settings.adapters_dir / "aaa")

    with pytest.raises(UnreachableError, match="No supervisor runs"):
        asyncio.run(main())


def test_people_are_answered_by_the_champions_engine_through_flip_death_and_rollback(platform: Platform) -> None:
    options = Options(poll_seconds=0.05, watch_seconds=60)
    with running_gateway(platform.settings.home, platform.base, options) as gateway:

        def serves(_: Settings) -> str | None:
            with contextlib.suppress(httpx.HTTPError):
                return gateway.ready()["adapter"]
            return platform.served

        def answer() -> tuple[str, str]:
            said = gateway.post("/v1/corrections", {"text": "She go to school.", "reasons": False})
            assert said.status_code == 200, said.text
            [one] = said.json()["corrections"]
            return one["adapter"], one["after"]

        platform.fleet.served = serves
        platform.load("aaa")
        gateway.serves(platform.release("aaa"))
        assert answer() == ("aaa", "She goes to school.")
        platform.load("bbb")
        platform.until(lambda: "correctly-candidate" in httpx.get(f"{gateway.url}/v1/models", trust_env=False).text)
        assert answer()[0] == "aaa"
        gateway.serves(platform.release("bbb"))
        assert answer() == ("bbb", "She goes to school.")
        # The champion's engine dies: the previous one, still warm, answers until it is back and proved.
        os.kill(platform.supervisor.children[engine_name("bbb")].popen.pid, signal.SIGKILL)
        gateway.until(lambda said: said["adapter"] == "aaa" and "r0002 does not answer yet" in said["says"])
        assert answer()[0] == "aaa"
        gateway.serves("r0002")
        # The base model's engine dies: nobody notices but who asks for the base model.
        platform.base.away = True
        time.sleep(0.3)
        assert answer()[0] == "bbb"
        assert gateway.chat("She go to school.", model="correctly-base").status_code == 503
        platform.base.away = False
        asyncio.run(gateway.app.state.service.parts.turn_back("a test", "r0002"))
        gateway.serves("r0003")
        assert answer()[0] == "aaa"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_evaluation_whose_engines_nobody_looks_at_any_more_ends_with_the_reason(settings: Settings) -> None:
    def broken() -> None:
        raise ValueError("the look at the engines failed")

    merged = settings.model_copy(update={"rollout": "merged"})
    supervisor = Supervisor(merged)
    supervisor.beside.append(broken)

    async def evaluate() -> None:
        async with _fleet(merged, supervisor):
            await asyncio.sleep(0.2)

    with pytest.raises(ValueError, match="the look at the engines failed"):
        asyncio.run(evaluate())
