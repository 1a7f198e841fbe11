"""Every knob of the platform, typed, in groups, read from ``CORRECTLY_*``.

Belongs here: a setting's name, type, unit, default and the paths derived from it. Does not belong here: anything that
imports another module of ours, opens a file or talks to the network. Reading the settings must stay free.
"""

from correctly_assets.settings.alert_settings import AlertsSettings
from correctly_assets.settings.all import Settings, get_settings
from correctly_assets.settings.comparator import ComparatorSettings
from correctly_assets.settings.curation import CurationSettings
from correctly_assets.settings.group import PROJECT_ROOT, InvalidSettingError, SettingsGroup, shipped
from correctly_assets.settings.judge import JudgeSettings
from correctly_assets.settings.platform import PlatformSettings
from correctly_assets.settings.privacy import PrivacySettings
from correctly_assets.settings.serving_settings import ServingSettings
from correctly_assets.settings.teacher_settings import TeacherSettings
from correctly_assets.settings.training_settings import (
    DEFAULT_STAGES,
    EMBEDDED_BASE_MODEL,
    TrainingSettings,
    TrainStage,
)

__all__ = [
    "DEFAULT_STAGES",
    "EMBEDDED_BASE_MODEL",
    "PROJECT_ROOT",
    "AlertsSettings",
    "ComparatorSettings",
    "CurationSettings",
    "InvalidSettingError",
    "JudgeSettings",
    "PlatformSettings",
    "PrivacySettings",
    "ServingSettings",
    "Settings",
    "SettingsGroup",
    "TeacherSettings",
    "TrainStage",
    "TrainingSettings",
    "get_settings",
    "shipped",
]
