"""The last look at the model's health, as a file that the gateway reads: figures alone, nobody's text.

Belongs here: its shape, writing and reading it. Does not belong here: the decision (core/drift.py), counting
(workflows/model_health.py).
"""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.drift import ShareBeside

log = logging.getLogger(__name__)


class HealthRecord(BaseModel):
    """What `model_health` found.

    Attributes:
        at: ISO 8601 in UTC. days: of live traffic that were looked at.
        release: the champion; None before the first. train_set: what live sentences were held against; None where none is here.
        sentences, trained: how many were counted on either side.
        median_words, trained_median_words: of a sentence; None where there is none.
        drifted: whether live sentences are unlike the train set; ``message`` says how, and what to land.
        scores: the champion's on the frozen set now, by name; empty where it could not be asked.
        promoted_scores: the same when it was promoted. fell: whether they fell by more than the gate allows.
    """

    model_config = ConfigDict(extra="ignore")

    at: str
    days: int
    release: str | None = None
    train_set: str | None = None
    sentences: int = 0
    trained: int = 0
    median_words: float | None = None
    trained_median_words: float | None = None
    shares: list[ShareBeside] = Field(default_factory=list)
    drifted: bool = False
    message: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    promoted_scores: dict[str, float] = Field(default_factory=dict)
    fell: bool = False
    scores_message: str = ""


def write_health(path: Path, record: HealthRecord) -> None:
    """Write the record in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, record.model_dump_json(indent=1) + "\n")


def read_health(path: Path) -> HealthRecord | None:
    """The record; None where there is none yet, or it is damaged, which the log says."""
    try:
        return HealthRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.error("the record of the model's health cannot be read", extra={"path": str(path), "error": str(error)})
        return None
