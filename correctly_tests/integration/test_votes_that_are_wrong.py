"""A poisoned batch through the real loop: fifty wrong corrections are voted in, and the served model does not get worse.

Run it alone with ``pytest correctly_tests/integration -m full -k poisoned``. The quick half, without a model, is
defs/test_a_poisoned_batch.py.
"""

from __future__ import annotations

import json

import httpx
import pytest

from correctly_assets.core.gate import GateSettings
from correctly_tests.integration.conftest import Platform
from correctly_tests.integration.test_votes_in_the_chat import sensor, wait_for

pytestmark = [pytest.mark.full, pytest.mark.model, pytest.mark.timeout(3600)]

WHO = (
    "My uncle",
    "The nurse",
    "Our driver",
    "The mayor",
    "Her cousin",
    "The baker",
    "Their coach",
    "The clerk",
    "His aunt",
    "The guide",
)
DOES = (
    ("walks to the harbour before breakfast", "walk to harbour before the breakfast"),
    ("waits for the last train on Fridays", "wait the last train in Fridays"),
    ("has lived near the river for ten years", "live near the river since ten years"),
    ("wants to buy a smaller car", "want buy an smaller car"),
    ("never forgets to lock the door", "never forget locking of the door"),
)  # fmt: skip


def poison() -> list[tuple[str, str]]:
    """Fifty right sentences with what a spoiler would have them be; the ladder cannot tell these from corrections."""
    return [(f"{who} {right}.", f"{who} {wrong}.") for who in WHO for right, wrong in DOES]


def test_fifty_poisoned_votes_do_not_make_the_served_model_worse(platform: Platform) -> None:
    before = platform.status()
    champion, last = before["champion"], before["last_decision"]
    served = json.loads(platform.run("evaluate", "--system", "served", "--limit", "160", "--json").stdout)
    gateway = platform.url("GATEWAY")

    sensor(platform, "retrain_sensor", on=False)
    pairs = poison()
    assert len(pairs) == len(set(pairs)) == 50
    answer = httpx.post(
        f"{gateway}/v1/corrections", json={"text": [text for text, _ in pairs], "reasons": False}, timeout=600
    )
    for correction, (_, wrong) in zip(answer.json()["corrections"], pairs, strict=True):
        vote = {"correction_id": correction["id"], "rating": -1, "better": wrong}
        assert httpx.post(f"{gateway}/v1/feedback", json=vote, timeout=60).status_code == 202
    # Most of it must get in, or this test would only be one of the ladder.
    wait_for(lambda: platform.status()["landed"] >= before["landed"] + 30, 300, platform)
    sensor(platform, "retrain_sensor", on=True)
    wait_for(lambda: platform.status()["last_decision"] != last, 2400, platform, every=5.0)

    after = platform.status()
    decision, reigns = after["last_decision"], after["champion"]
    report = json.loads((platform.home / "adapters" / decision["adapter"] / "report.json").read_text())
    if decision["verdict"] == "refused":
        assert report["verdict"] == "refuse" and decision["reasons"]
        assert (reigns["release"], reigns["adapter"]) == (champion["release"], champion["adapter"])
    else:
        assert decision["verdict"] == "promoted", decision
        against = report["measured"]["versus_champion"]
        assert all(against[metric]["high"] >= 0 for metric in ("gleu", "errant_f05")), against
    now = json.loads(platform.run("evaluate", "--system", "served", "--limit", "160", "--json").stdout)
    # Within the gate's own tolerance, whichever way it went; a correct sentence that is changed costs precision in F0.5.
    allowed = GateSettings()
    assert now["gleu"] >= served["gleu"] - allowed.max_drop_gleu, (served, now)
    assert now["errant_f05"] >= served["errant_f05"] - allowed.max_drop_f05, (served, now)
