"""`report_full`: every system on every evaluation set, as its own job, outside the loop.

Belongs here: the job and its one step. Does not belong here: measuring (workflows/full_report.py). It decides nothing: the
verdict on the page is the adapter's own.
"""

import asyncio

import dagster as dg

from correctly_assets.defs.common import refused
from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.store import StoreResource
from correctly_assets.settings import Settings


class FullReportConfig(dg.Config):
    """Which adapter to report on: an ID or its beginning; the last judged when empty."""

    adapter: str = ""


@dg.op(description="Generates the answers that are not kept, scores them all, writes report.full.html and .json.")
def write_report_full(
    context: dg.OpExecutionContext,
    config: FullReportConfig,
    store: StoreResource,
    engine: EngineResource,
    settings: dg.ResourceParam[Settings],
) -> None:
    from correctly_assets.core.errors import CorrectlyError
    from correctly_assets.workflows.find_reports import describe_report
    from correctly_assets.workflows.full_report import write_full_report

    try:
        adapter = describe_report(settings, config.adapter or None)["adapter"]
        with store.open() as opened:
            written = asyncio.run(write_full_report(settings, opened, engine, adapter=adapter, log=context.log.info))
    except CorrectlyError as error:
        raise refused(error) from error
    context.add_output_metadata(
        {
            "adapter": adapter,
            "report": dg.MetadataValue.md(written.markdown),
            "html": dg.MetadataValue.path(str(written.html)),
        }
    )


@dg.job(description="Every system on every set, beside the loop; answers are kept by system and set.")
def report_full():
    write_report_full()
