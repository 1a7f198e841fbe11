"""Personal data, and how long texts are kept.

Belongs here: what happens to personal data and when texts are removed. Does not belong here: finding personal data
(curation).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from correctly_assets.settings.group import SettingsGroup


class PrivacySettings(SettingsGroup):
    """Personal data and retention."""

    pii: Literal["quarantine", "scrub", "off"] = Field(
        default="quarantine",
        description="What happens to a row with personal data: it is held (quarantine), lands with placeholders (scrub), or "
        "lands as it is (off).",
    )
    pii_names: bool = Field(
        default=False,
        description="Whether people's names count as personal data; a small model finds them, and takes other words for them.",
    )
    retention_days: int = Field(
        default=90, ge=1, description="Days after which texts of chats and requests are removed."
    )
