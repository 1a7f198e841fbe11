"""`train_set`: the pairs an adapter is trained on, each derived from one example.

Belongs here: the asset and its blocking checks. Does not belong here: how pairs are written (teachers/) or weighed
(artifacts/train_set.py).
"""

from typing import TYPE_CHECKING

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.core.retrain import renewed_tags
from correctly_assets.core.text import leaks
from correctly_assets.defs.event_metadata import LOOP, OWNERS, latest, refused, sources_version, table
from correctly_assets.settings import Settings
from correctly_assets.workflows import describe_train_set as page
from correctly_assets.workflows.retrain_state import fingerprint_of, recipe
from correctly_assets.workflows.version_data import version_snapshot
from correctly_assets.workflows.wiring import read_evaluation_texts

if TYPE_CHECKING:
    from correctly_assets.workflows.build_train_set import MadeTrainSet


@dg.asset(
    deps=["examples", "evaluation_set"],
    group_name=LOOP,
    kinds={"python", "duckdb", "parquet"},
    owners=OWNERS,
    code_version=sources_version("teachers", "curation", "language", "workflows/build_train_set.py"),
    check_specs=[
        dg.AssetCheckSpec(
            "no_evaluation_sentence_is_trained_on",
            asset="train_set",
            blocking=True,
            description="No pair equals an evaluation sentence or shares eight words in a row with one.",
        ),
        dg.AssetCheckSpec(
            "there_is_enough_to_train_on", asset="train_set", blocking=True, description="At least eight pairs."
        ),
    ],
)
def train_set(context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]):
    """The teacher's pairs, guarded, de-duplicated, split and weighed: one content-addressed Parquet file."""
    from correctly_assets.workflows.build_train_set import make_train_set

    examples = latest(context, "examples", "snapshot")
    try:
        made = make_train_set(settings, examples_snapshot=examples, log=context.log.info)
    except CorrectlyError as error:
        raise refused(error) from error
    rows = made.snapshot.manifest.rows_digest or ""
    if renewed := renewed_tags(context.run.tags, fingerprint_of(rows, recipe(settings))):
        context.instance.add_run_tags(context.run.run_id, renewed)
    # The builder drops what leaks; the check looks again at what was written, so that neither is trusted alone.
    leaked = leaks(
        (text for pair in made.pairs for text in (pair.before, pair.after)), read_evaluation_texts(settings.platform)
    )
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(made.snapshot.id), metadata=_metadata(settings, made, examples)
    )
    yield dg.AssetCheckResult(
        check_name="no_evaluation_sentence_is_trained_on",
        passed=not leaked,
        description="; ".join(list(leaked)[:5]) or "No evaluation sentence is among the pairs.",
    )
    yield dg.AssetCheckResult(
        check_name="there_is_enough_to_train_on", passed=len(made.pairs) >= 8, description=f"{len(made.pairs)} pairs."
    )


def _metadata(
    settings: Settings, made: "MadeTrainSet", examples_snapshot: str
) -> dict[str, dg.MetadataValue | str | int | float]:
    """What the asset's page shows of a train set: figures, the mix of errors, samples, and what was left out and why."""
    from correctly_assets.workflows.read_examples import read_some

    mix = page.error_mix(made.pairs, settings.teacher.first_languages)
    used = read_some(settings.platform, examples_snapshot, (pair.example_id for pair in made.pairs))
    sources = {example.id: example.source or "" for example in used}
    return {
        "snapshot": made.snapshot.id,
        "path": dg.MetadataValue.path(str(made.snapshot.path)),
        "examples_snapshot": examples_snapshot,
        "rows_digest": made.snapshot.manifest.rows_digest or "",
        "pairs": len(made.pairs),
        "dropped_as_leaks": len(made.leaked),
        "rejected": len(made.refused),
        "quarantined_as_straddling": len(made.straddling),
        "dvc": version_snapshot(settings, made.snapshot.path) or "No DVC remote is set.",
        "teacher": made.teacher,
        "cost_usd": made.journalled_usd,
        "cost_usd_of_this_run": made.cost_usd,
        "cost_usd_per_pair": made.usd_per_pair,
        "error_mix": dg.MetadataValue.md(f"![error mix](data:image/png;base64,{page.draw_mix(mix)})"),
        "mix_beside_learners": page.departure(mix),
        "by_origin": table(["Origin", "Pairs"], sorted(made.by_origin.items())),
        "by_error_type": table(
            ["Type", "In words", "Edits", "% of edits", "Target %", "Learners (W&I) %"], page.type_rows(mix)
        ),
        "by_source": table(*page.source_rows(made.pairs, sources)),
        "rejected_because": table(["Rung", "Fell", "Reason", "For example"], page.rejected_rows(made.refused)),
        "samples": table(
            ["Before", "After", "Edits", "Origin", "Example"],
            [page.sample_row(pair) for pair in page.samples(made.pairs)],
        ),
    }
