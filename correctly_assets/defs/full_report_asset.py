"""`full_report`: every system on every evaluation set, an asset beside the loop.

Belongs here: the asset and the job that makes it. Does not belong here: measuring (workflows/full_report.py). It decides
nothing: the verdict on the page is the adapter's own.
"""

import asyncio

import dagster as dg

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.defs.event_metadata import LOOP, OWNERS, refused, sources_version
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.settings import Settings


class FullReportConfig(dg.Config):
    """Which adapter to report on: an ID or its beginning; the last judged when empty."""

    adapter: str = ""


# A multi-asset of one: its op has a name of its own, as an op and a job must not share one.
@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            "full_report",
            deps=["eval_report", "evaluation_set"],
            description="Every system on every set, beside the loop: report.full.html and .json of an adapter.",
            group_name=LOOP,
            kinds={"vllm", "python"},
            owners=OWNERS,
            code_version=sources_version("evaluation", "correction", "workflows/full_report.py"),
        )
    ],
)
def write_full_report(
    context: dg.AssetExecutionContext,
    config: FullReportConfig,
    store: StoreResource,
    engine: EngineResource,
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:
    """Generates the answers that are not kept, scores them all, and writes the report."""
    from correctly_assets.workflows.find_reports import describe_report
    from correctly_assets.workflows.full_report import write_full_report as write

    try:
        adapter = describe_report(settings, config.adapter or None)["adapter"]
        with store.open() as opened:
            written = asyncio.run(write(settings, opened, engine, adapter=adapter, log=context.log.info))
    except CorrectlyError as error:
        raise refused(error) from error
    return dg.MaterializeResult(
        metadata={
            "adapter": adapter,
            "report": dg.MetadataValue.md(written.markdown),
            "html": dg.MetadataValue.path(str(written.html)),
        }
    )


full_report_job = dg.define_asset_job(
    "full_report",
    selection=dg.AssetSelection.assets("full_report"),
    description="Every system on every set, beside the loop; answers are kept by system and set.",
)
