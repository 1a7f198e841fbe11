"""What is given from outside: `base_model` and `evaluation_set`, observed so that what was made from an older one is stale.

Belongs here: the two external assets, and the sensor that records a changed version and a warning where landed examples
wait too long. Does not belong here: reading or changing them.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from correctly_assets.core.retrain import lags
from correctly_assets.defs.event_metadata import DATA_VERSION_TAG, LOOP, OWNERS
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.store import Store
from correctly_assets.training.models.base_model import base_model_revision

BASE_MODEL, EVALUATION_SET, LAG = "base_model", "evaluation_set", "nothing_waits_too_long"


def given_versions(settings: Settings) -> dict[str, str]:
    """The data version of each external asset, by its name."""
    return {
        BASE_MODEL: base_model_revision(settings.base_model_path),
        EVALUATION_SET: hashlib.sha256(settings.platform.evaluation_path.read_bytes()).hexdigest(),
    }


@dg.multi_observable_source_asset(
    specs=[
        dg.AssetSpec(
            BASE_MODEL,
            description="The model that adapters are trained on: converted once by `make install`, or CORRECTLY_BASE_MODEL.",
            group_name=LOOP,
            kinds={"huggingface"},
            owners=OWNERS,
        ),
        dg.AssetSpec(
            EVALUATION_SET,
            description="250 awkward sentences with two references each and 150 correct ones. Frozen; never trained on.",
            group_name=LOOP,
            kinds={"json"},
            owners=OWNERS,
        ),
    ],
    can_subset=True,
)
def given(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]) -> Iterator[dg.ObserveResult]:
    """The versions of what is given from outside."""
    for name, version in given_versions(settings).items():
        if dg.AssetKey(name) in context.selected_asset_keys:
            yield dg.ObserveResult(asset_key=name, data_version=dg.DataVersion(version))


def _lag(store: Store) -> str | None:
    since = store.undecided_since()
    return lags((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() if since else None)


@dg.asset_check(
    asset="served_model", name=LAG, description="No accepted example has been in no decision for more than a day."
)
def nothing_waits_too_long(store: StoreResource) -> dg.AssetCheckResult:
    """Warns where an example that landed long ago was neither trained on nor refused."""
    with store.open() as opened:
        warning = _lag(opened)
    return dg.AssetCheckResult(
        passed=warning is None, severity=dg.AssetCheckSeverity.WARN, description=warning or "Nothing waits too long."
    )


def tick_observe(context: dg.SensorEvaluationContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Record what changed since the last tick. The cursor holds what was recorded; a wiped one records it once more."""
    with store.open() as opened:
        warning = _lag(opened)
    now = {**given_versions(settings), LAG: "failed" if warning else "passed"}
    before = _cursor(context.cursor)
    changed = [name for name, value in now.items() if before.get(name) != value]
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = [
        dg.AssetObservation(name, tags={DATA_VERSION_TAG: now[name]}) for name in changed if name != LAG
    ]
    if LAG in changed:
        events.append(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey("served_model"),
                check_name=LAG,
                passed=warning is None,
                severity=dg.AssetCheckSeverity.WARN,
                description=warning or "Nothing waits too long.",
            )
        )
    message = f"Recorded: {', '.join(changed)}." if changed else "Base model and evaluation set are as they were."
    return dg.SensorResult(
        skip_reason=dg.SkipReason(f"{message} {warning}" if warning else message),
        asset_events=events,
        cursor=json.dumps(now),
    )


def _cursor(text: str | None) -> dict[str, str]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
