"""The one Dagster entry point; loads defs/ and nothing else."""

from __future__ import annotations

import dagster as dg

from correctly_assets.defs import automation, eval_report, examples, full_report, lora_adapter, served_model, train_set
from correctly_assets.defs.resources import make_resources
from correctly_assets.settings import get_settings

settings = get_settings()

defs = dg.Definitions(
    assets=[
        examples.base_model,
        examples.evaluation_set,
        examples.examples,
        train_set.train_set,
        lora_adapter.lora_adapter,
        eval_report.eval_report,
        served_model.served_model,
    ],
    jobs=[automation.retrain, full_report.report_full],
    sensors=automation.make_sensors(settings),
    schedules=[automation.write_examples],
    resources=make_resources(settings),
    # The weight is in child processes and in vLLM; a process per step would only load the same modules again.
    executor=dg.in_process_executor,
)
