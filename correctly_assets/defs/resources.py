"""Which resources the definitions use, from the settings.

Belongs here: one resource for each name that assets ask for. Does not belong here: the resources themselves (resources/).
"""

from __future__ import annotations

import os
from typing import Any

import dagster as dg

from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.ledger import ledger_resource
from correctly_assets.resources.store_resource import StoreResource
from correctly_assets.resources.trainer_resource import TrainerResource
from correctly_assets.settings import PlatformSettings, Settings

Resource = dg.ConfigurableResource[Any] | dg.ResourceDefinition | Settings
"""What an asset or sensor may ask for by name."""
_DATABASE = "CORRECTLY_DATABASE_URL"


def _store_url(platform: PlatformSettings) -> str | dg.EnvVar:
    """The store's URL as Dagster may show it on the resources' page: of a database with a password the variable's name alone."""
    if platform.database_url and os.environ.get(_DATABASE) == platform.database_url:
        return dg.EnvVar(_DATABASE)
    return platform.store_url


def make_resources(settings: Settings) -> dict[str, Resource]:
    """One resource per outside system, and the settings themselves: assets and sensors are given them and read nothing."""
    return {
        "settings": settings,
        "store": StoreResource(url=_store_url(settings.platform), sql_dir=str(settings.platform.sql_dir)),
        "engine": EngineResource(url=settings.serving.vllm_url, home=str(settings.platform.home)),
        "trainer": TrainerResource(),
        "mlflow": ledger_resource.configured({"tracking_uri": settings.platform.mlflow_url}),
    }
