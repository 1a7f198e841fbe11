"""Which resources the definitions use, from the settings."""

from __future__ import annotations

from typing import Any

from correctly_assets.resources.engine import EngineResource
from correctly_assets.resources.ledger import ledger_resource
from correctly_assets.resources.store import StoreResource
from correctly_assets.resources.trainer import TrainerResource
from correctly_assets.settings import Settings


def make_resources(settings: Settings) -> dict[str, Any]:
    """One resource per outside system, and the settings themselves: assets and sensors are given them and read nothing."""
    return {
        "settings": settings,
        "store": StoreResource(url=settings.platform.store_url, sql_dir=str(settings.platform.sql_dir)),
        "engine": EngineResource(url=settings.serving.vllm_url),
        "trainer": TrainerResource(),
        "mlflow": ledger_resource.configured({"tracking_uri": settings.platform.mlflow_url}),
    }
