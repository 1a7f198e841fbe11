"""All groups together, and the properties in which several groups meet.

Belongs here: `Settings` and reading it once. Does not belong here: a setting (its group's module).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from correctly_assets.settings.alert_settings import AlertsSettings
from correctly_assets.settings.comparator import ComparatorSettings
from correctly_assets.settings.curation import CurationSettings
from correctly_assets.settings.group import InvalidSettingError
from correctly_assets.settings.judge import JudgeSettings
from correctly_assets.settings.platform import PlatformSettings
from correctly_assets.settings.privacy import PrivacySettings
from correctly_assets.settings.serving_settings import ServingSettings
from correctly_assets.settings.teacher_settings import TeacherSettings
from correctly_assets.settings.training_settings import EMBEDDED_BASE_MODEL, TrainingSettings

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Settings(BaseModel):
    """The platform's settings, in groups. The embedded defaults need no key, no GPU and no download from a model hub.

    Raises:
        InvalidSettingError: a variable holds something its type does not allow.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: PlatformSettings = Field(default_factory=PlatformSettings)
    teacher: TeacherSettings = Field(default_factory=TeacherSettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    comparator: ComparatorSettings = Field(default_factory=ComparatorSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    serving: ServingSettings = Field(default_factory=ServingSettings)
    curation: CurationSettings = Field(default_factory=CurationSettings)
    privacy: PrivacySettings = Field(default_factory=PrivacySettings)
    alerts: AlertsSettings = Field(default_factory=AlertsSettings)

    def changed(self, **groups: Mapping[str, Any]) -> Settings:
        """A copy with other values: ``settings.changed(platform={"host": "0.0.0.0"}, training={"minutes": 2})``.

        Raises:
            InvalidSettingError: there is no such group or field, or a value is not allowed.
        """
        for name in groups:
            if name not in type(self).model_fields:
                raise InvalidSettingError(
                    f"There is no group of settings {name}: the groups are {', '.join(type(self).model_fields)}."
                )
        return self.model_copy(update={name: getattr(self, name).changed(**groups[name]) for name in groups})

    @property
    def base_model_path(self) -> str:
        """What transformers and vLLM are given: always a directory. Those of the embedded model and of a hub's appear with
        `correctly prepare`."""
        name, models = self.training.base_model, self.platform.models_dir
        if name == EMBEDDED_BASE_MODEL:
            return str(models / EMBEDDED_BASE_MODEL)
        # `correctly prepare --gguf FILE --name NAME` puts other models there; a name with a slash is a path or a hub's.
        prepared = models / name
        if "/" not in name and (prepared / "config.json").is_file():
            return str(prepared)
        if self.is_hub_base:
            return str(models / name.replace("/", "--"))
        return name

    @property
    def is_hub_base(self) -> bool:
        """Whether the base model is named as a hub names it (``google/gemma-3-1b-it``), and is no directory."""
        name = self.training.base_model
        return bool(_HUB_NAME.fullmatch(name)) and not Path(name).is_dir()

    @property
    def is_embedded_base(self) -> bool:
        """Whether the base model is the embedded one, by name or by its converted directory."""
        return self.training.base_model in (
            EMBEDDED_BASE_MODEL,
            str(self.platform.models_dir / EMBEDDED_BASE_MODEL),
        )


def get_settings() -> Settings:
    """The settings that the environment names now.

    Raises:
        InvalidSettingError: a variable holds something its type does not allow.
    """
    return Settings()
