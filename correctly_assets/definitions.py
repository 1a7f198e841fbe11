"""The one Dagster entry point.

Belongs here: putting assets, checks, jobs, sensors, schedules and resources together. Does not belong here: any of them (defs/), or
what the resources are (resources/).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import dagster as dg

from correctly_assets.defs import (
    automation,
    backup,
    eval_report,
    feedback,
    given,
    lora_adapter,
    served_model,
)
from correctly_assets.defs import (
    clean_up_job as clean_up,
)
from correctly_assets.defs import (
    examples_asset as examples,
)
from correctly_assets.defs import (
    full_report_asset as full_report,
)
from correctly_assets.defs import (
    model_health_asset as model_health,
)
from correctly_assets.defs import (
    train_set_asset as train_set,
)
from correctly_assets.defs.resources import Resource, make_resources
from correctly_assets.settings import Settings, get_settings

# Dagster's own processes load this file first: what they and their runs write is for its owner alone.
os.umask(0o077)


def build_defs(settings: Settings | None = None, overrides: Mapping[str, Resource] | None = None) -> dg.Definitions:
    """All definitions of the code location.

    Args:
        settings: None is this process's own.
        overrides: resources by name, in place of those that the settings make: a test's ledger, trainer or engine.

    Example:
        >>> build_defs(overrides={"mlflow": dg.ResourceDefinition.hardcoded_resource(NoLedger())})
    """
    settings = settings or get_settings()
    return dg.Definitions(
        assets=[
            given.given,
            examples.examples,
            train_set.train_set,
            lora_adapter.lora_adapter,
            eval_report.eval_report,
            served_model.served_model,
            full_report.write_full_report,
            model_health.model_health,
        ],
        asset_checks=[given.nothing_waits_too_long],
        jobs=[
            automation.retrain,
            automation.write_new_examples,
            feedback.read_feedback,
            full_report.full_report_job,
            backup.back_up,
            clean_up.clean_up_job,
            model_health.check_model_health,
        ],
        sensors=automation.make_sensors(settings),
        schedules=[
            automation.write_examples,
            backup.make_schedule(settings),
            clean_up.daily_clean_up,
            model_health.daily_model_health,
        ],
        resources={**make_resources(settings), **(overrides or {})},
        # The weight is in child processes and in vLLM; a process per step would only load the same modules again.
        executor=dg.in_process_executor,
    )


defs = build_defs()
