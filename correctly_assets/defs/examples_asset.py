"""`examples`: what has landed and was accepted, frozen as a content-addressed snapshot.

Belongs here: the asset and its check. Does not belong here: landing (curation/, store/).
"""

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.retrain import WHY_TAG
from correctly_assets.defs.event_metadata import LOOP, OWNERS, refused, sources_version, table
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings
from correctly_assets.workflows.collect_garbage import require_space
from correctly_assets.workflows.complete_examples import CompletedWaiting, complete_waiting
from correctly_assets.workflows.version_data import version_snapshot


@dg.asset(
    group_name=LOOP,
    kinds={"sql", "parquet"},
    owners=OWNERS,
    code_version=sources_version("store", "artifacts/snapshots.py"),
    check_specs=[
        dg.AssetCheckSpec(
            "nothing_is_held_back",
            asset="examples",
            description="How many rows are in quarantine. They are kept out of training; a warning stops nothing.",
        )
    ],
)
def examples(context: dg.AssetExecutionContext, store: StoreResource, settings: dg.ResourceParam[Settings]):
    """Every accepted example, as one immutable snapshot. Examples land from files, the inbox, the API and the chat."""
    from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot

    completed = CompletedWaiting()
    try:
        # The first asset of every run: better said now than in the middle of a training.
        require_space(settings.platform)
    except CorrectlyError as error:
        raise refused(error) from error
    with store.open() as opened:
        if settings.teacher.kind != "embedded" and opened.counts().waiting:
            # Rows that were completed enter this very train set. A teacher that is away is no reason to hold back the others.
            try:
                completed = complete_waiting(opened, settings)
            except CorrectlyError as error:
                context.log.warning(f"The waiting examples wait on: {error}")
            else:
                context.log.info(completed.message)
        snapshot = write_examples_snapshot(opened, settings.platform.snapshots_dir)
        counts = opened.counts()
        sample = [example for _, example in zip(range(10), opened.accepted(), strict=False)]
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.row_digest),
        metadata={
            "snapshot": snapshot.id,
            "path": dg.MetadataValue.path(str(snapshot.path)),
            "rows_digest": snapshot.row_digest,
            "examples": counts.accepted,
            "waiting": counts.waiting,
            "completed": completed.completed,
            "completion_cost_usd": completed.cost_usd,
            "quarantined": counts.quarantined,
            "dvc": version_snapshot(settings, snapshot.path) or "No DVC remote is set.",
            "why": context.run.tags.get(WHY_TAG, "Started by a person."),
            "samples": table(
                ["Before", "After", "Form", "Source"], [[e.before, e.after, e.form, e.source] for e in sample]
            ),
        },
    )
    yield dg.AssetCheckResult(
        passed=counts.quarantined == 0,
        # Held rows are kept out of training; that is worth seeing and no reason to stop.
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{counts.quarantined} rows are in quarantine; see `correctly quarantine list`.",
        metadata={"quarantined": counts.quarantined},
    )
