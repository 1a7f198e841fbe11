"""What one asset reads of another: this run's own materialization first."""

import dagster as dg

from correctly_assets.defs.event_metadata import latest


def test_a_run_reads_its_own_materialization_though_a_newer_one_exists() -> None:
    read: list[object] = []
    with dg.DagsterInstance.ephemeral() as instance:

        @dg.asset
        def upstream():
            return dg.MaterializeResult(metadata={"snapshot": "own"})

        @dg.asset(deps=[upstream])
        def downstream(context: dg.AssetExecutionContext) -> None:
            event = dg.AssetMaterialization("upstream", metadata={"snapshot": "of another"})
            instance.report_runless_asset_event(event)
            read.append(latest(context, "upstream", "snapshot"))

        assert dg.materialize([upstream, downstream], instance=instance).success
        # A run that makes none reads the newest there is.
        assert dg.materialize([upstream, downstream], instance=instance, selection=[downstream]).success
    assert read == ["own", "of another"]
