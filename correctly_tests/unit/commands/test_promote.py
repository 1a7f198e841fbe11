"""A person's override is recorded as what it is, with its reason, and status shows why the last decision fell."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from correctly_assets.artifacts.manifests import AdapterManifest, read_manifest
from correctly_assets.core.errors import RefusedError, UsageError
from correctly_assets.settings import Settings, get_settings
from correctly_assets.workflows.promote import record
from correctly_assets.workflows.wiring import open_platform_store
from correctly_tests.commands import invoke
from correctly_tests.serving_fakes import fake_engine
from correctly_tests.tiny_adapter import put_adapter

pytestmark = pytest.mark.slow


def shown_by(*words: str) -> str:
    """What a command prints, as one line."""
    return " ".join(invoke(*words).split())


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A HOME with an engine and no gateway."""
    with fake_engine() as engine:
        monkeypatch.setenv("CORRECTLY_VLLM_PORT", str(engine.port))
        monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", "9")
        yield get_settings()


def refused(settings: Settings, *reasons: str) -> str:
    """An adapter on which the gate has said no; returns its ID."""
    adapter = put_adapter(settings, 1)
    directory = settings.platform.adapters_dir / adapter
    with open_platform_store(settings.platform) as store:
        manifest = read_manifest(directory, AdapterManifest)
        record(settings.platform, store, manifest, adapter=adapter, verdict="refused", reasons=reasons, run_id=None)
    return adapter


def test_a_promotion_despite_the_gate_is_an_override_with_its_reason(platform: Settings) -> None:
    adapter = refused(platform, "It changes 20.0 % of correct sentences.")
    shown_by("promote", adapter, "--despite", "the class begins today")
    with open_platform_store(platform.platform) as store:
        release, decision = store.champion(), store.last_decision()
    assert release is not None and decision is not None
    said = "Promoted by a person despite the gate: the class begins today"
    assert (release.adapter, release.kind, release.why) == (adapter, "override", said)
    assert (decision.adapter, decision.verdict, tuple(decision.reasons)) == (adapter, "promoted", (said,))


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_promotion_despite_the_gate_needs_a_reason(platform: Settings, blank: str) -> None:
    adapter = refused(platform, "It changes 20.0 % of correct sentences.")
    with pytest.raises(UsageError, match='--despite "reason"') as caught:
        shown_by("promote", adapter, "--despite", blank)
    assert caught.value.exit_code == 2 and not isinstance(caught.value, RefusedError)
    with open_platform_store(platform.platform) as store:
        assert store.champion() is None


def test_status_shows_every_reason_of_the_last_decision(platform: Settings) -> None:
    reasons = ("It changes 20.0 % of correct sentences; at most 15 % are allowed.", "2 edits ended without a reason.")
    adapter = refused(platform, *reasons)
    said = shown_by("status")
    assert f"(adapter {adapter})" in said and "refused" in said
    assert all(reason in said for reason in reasons)
    last = json.loads(shown_by("status", "--json"))["last_decision"]
    assert (last["verdict"], last["reasons"]) == ("refused", list(reasons))
