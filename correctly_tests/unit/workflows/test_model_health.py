"""The look at the model's health: how sentences are counted, what is kept of a look, and who reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from correctly_assets.artifacts.health_record import HealthRecord, read_health, write_health
from correctly_assets.artifacts.manifests import TrainSetManifest
from correctly_assets.artifacts.train_set import write_train_set
from correctly_assets.core.types import Correction, Edit, TrainPair
from correctly_assets.evaluation.evaluation_set import read_evaluation_set
from correctly_assets.gateway.dashboard import dashboard_page
from correctly_assets.settings import Settings, get_settings
from correctly_assets.store import Store, open_store
from correctly_assets.workflows.loop_metrics import read_loop
from correctly_assets.workflows.make_corrector import DirectEngine
from correctly_assets.workflows.model_health import check_health, count_sentences
from correctly_assets.workflows.watch_loop import watch_loop
from correctly_tests.serving_fakes import FakeEngine, fake_engine
from correctly_tests.tiny_adapter import put_adapter

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOWHERE = DirectEngine("http://127.0.0.1:9")


@dataclass
class Platform:
    """A store whose clock stands at noon, and what was logged."""

    settings: Settings
    store: Store
    at: datetime = NOON
    said: list[str] = field(default_factory=list)

    def answers(self, count: int, kind: str = "R:PREP", *, release: str | None = "r0001", **other: str) -> None:
        """Sentences that differ, each with one edit of a type."""
        for number in range(count):
            text = f"I wait you at station number {number} since {kind} o'clock."
            edits = (Edit(7, 10, "you", "for you", kind),)
            id = f"c_{release}_{kind}_{number}_{self.at:%d%H%M}"
            self.store.journal_correction(Correction(id, text, text, edits, release, "a", **other))  # pyright: ignore[reportArgumentType]

    def trains_on(self, count: int, kind: str) -> str:
        pairs = []
        for number in range(count):
            text = f"I wait you at platform number {number} since {kind} o'clock."
            edits = (Edit(7, 10, "you", "for you", kind),)
            pairs.append(TrainPair(f"p{number}", f"e{number}", "example", text, text + "!", edits))
        platform = self.settings.platform
        return write_train_set(pairs, platform.snapshots_dir, TrainSetManifest(), sql_dir=platform.sql_dir).id

    def serves(self, adapter: str, train_set: str | None, **scores: float | str) -> None:
        self.store.add_release(
            adapter=adapter,
            base_model="tiny",
            train_set=train_set,
            kind="promotion",
            why="a test",
            scores={"systems": {"candidate": scores}},
        )

    def look(self, engine: DirectEngine = NOWHERE) -> HealthRecord:
        now = NOON.timestamp()
        return asyncio.run(check_health(self.settings, self.store, engine, log=self.said.append, now=now))


@pytest.fixture
def platform(settings: Settings) -> Iterator[Platform]:
    clock: list[Platform] = []
    with open_store(
        settings.platform.store_url, settings.platform.sql_dir, now=lambda: clock[0].at if clock else NOON
    ) as store:
        clock.append(Platform(settings, store))
        yield clock[0]


def test_a_text_is_counted_by_its_sentences_each_with_its_own_edits() -> None:
    text = "I wait you here. She is at home. 저는 학교에 갑니다."
    edits = (Edit(7, 10, "you", "for you", "R:PREP"), Edit(21, 23, "is", "was", "R:VERB:TENSE"))
    counts, words = count_sentences([(text, edits), ("I wait you here.", edits[:1])])
    assert (counts.n, counts.changed, words) == (2, 2, [4, 4])
    assert counts.types == {"PREP": 1, "VERB:TENSE": 1} and counts.lengths == {"short": 2}
    assert counts.languages == {"en": 2, "ko": 1}


def test_live_sentences_unlike_the_train_set_are_drift_with_what_to_land(platform: Platform) -> None:
    platform.answers(250)
    platform.serves("a", platform.trains_on(300, "R:DET"))
    found = platform.look()
    assert found.drifted and found.release == "r0001" and found.sentences == 250
    assert "100 % of the live sentences with edits have one of the kind PREP (preposition), 0 %" in found.message
    assert found.message in platform.said and read_health(platform.settings.platform.health_path) == found
    # What is read of it: metrics, an alert, the page.
    now = (NOON + timedelta(hours=20)).timestamp()
    reading = read_loop(platform.store, platform.settings, now)
    assert reading["sentence_share"][("error_type", "PREP", "live")] == 100.0
    assert reading["sentence_share"][("error_type", "DET", "train_set")] == 100.0
    assert set(reading["drift_points"]) == {("error_type", "PREP")}
    assert reading["model_health_timestamp_seconds"] == {(): NOON.timestamp()}
    quiet = platform.settings.changed(alerts={"disk_free_gb": 0, "backup_hours": 0})
    assert [(alert.kind, alert.message) for alert in watch_loop(platform.store, quiet, now)] == [
        ("drift", found.message)
    ]
    page = dashboard_page(platform.store, quiet, now)
    assert page.count("Land examples with errors of this kind.") == 2 and "points, drifted" in page


def test_a_look_of_days_ago_raises_no_alert(platform: Platform) -> None:
    write_health(
        platform.settings.platform.health_path, HealthRecord(at=NOON.isoformat(), days=7, drifted=True, message="X.")
    )
    quiet = platform.settings.changed(alerts={"disk_free_gb": 0, "backup_hours": 0})
    later = (NOON + timedelta(days=4)).timestamp()
    assert watch_loop(platform.store, quiet, later) == ()


def test_only_the_last_weeks_own_answers_of_releases_are_counted(platform: Platform) -> None:
    platform.at = NOON - timedelta(days=8)
    platform.answers(250)
    platform.at = NOON - timedelta(days=2)
    platform.answers(30, "R:DET")
    platform.answers(30, "R:VERB", release=None)
    platform.answers(30, "R:NOUN", fallback="length")
    platform.serves("a", platform.trains_on(300, "R:DET"))
    found = platform.look()
    assert not found.drifted and found.sentences == 30
    assert found.message == "There are 30 live sentences; nothing is concluded from fewer than 200."


def test_the_shipped_adapter_is_held_against_the_newest_decided_train_set(platform: Platform) -> None:
    platform.answers(250)
    platform.serves("a", None)
    assert platform.look().message == "No train set is here yet to hold live sentences against."
    name = platform.trains_on(300, "R:PREP")
    platform.store.record_decision(fingerprint="f", verdict="refused", reasons=["Worse."], train_set=name)
    found = platform.look()
    assert found.train_set == name and "live sentences are like the " in found.message


def test_a_damaged_record_counts_as_none(platform: Platform) -> None:
    path = platform.settings.platform.health_path
    path.parent.mkdir(parents=True)
    path.write_text('{"days": "many"}')
    assert read_health(path) is None
    assert read_loop(platform.store, platform.settings)["sentence_share"] == {}


def _fixes(engine: FakeEngine, settings: Settings, adapter: str) -> None:
    rows = [json.loads(line) for line in settings.platform.evaluation_path.read_text().splitlines()]
    engine.fixes[adapter] = {row["source"]: row["references"][0] for row in rows}


@pytest.mark.slow
def test_the_champion_is_scored_again_and_kept_answers_need_no_engine(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_engine() as engine:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        monkeypatch.setenv("CORRECTLY_EVALUATION_LIMIT", "20")
        platform.settings = settings = get_settings()
        adapter = put_adapter(settings, 1)
        platform.serves(adapter, None, gleu=50.0, errant_f05=99.9, overcorrected=0.0)
        away = platform.look()
        assert away.scores == {} and not away.fell and away.promoted_scores["gleu"] == 50.0
        assert away.scores_message.startswith("The champion was not scored again: ")
        _fixes(engine, settings, adapter)
        found = platform.look(DirectEngine.of(settings))
        assert found.scores["gleu"] > 60 and set(found.scores) == {"gleu", "errant_f05", "overcorrected"}
        asked = len(engine.asked)
        assert asked >= 20 and read_loop(platform.store, settings)["champion_score"][("gleu",)] == found.scores["gleu"]
    assert platform.look(DirectEngine.of(settings)).scores == found.scores
    # Another champion with the same answers, promoted with more than it reaches: on the whole set, and on the same rows.
    better = {"gleu": found.scores["gleu"] + 9, "errant_f05": 0.0, "overcorrected": 0.0}
    platform.serves(adapter, None, **better)
    unlike = platform.look()
    assert not unlike.fell and "another evaluation set" in unlike.scores_message
    platform.serves(
        adapter, None, **better, data_sha256=read_evaluation_set(settings.platform.evaluation_path, 20).sha256
    )
    fell = platform.look()
    assert fell.fell and "GLEU fell by 9.0 points" in fell.scores_message
    assert read_loop(platform.store, settings)["champion_score_fell"] == {(): 1.0}
