"""The manifests of content-addressed directories: what each says of where its content came from.

Belongs here: one model a kind of directory, and reading, writing and renewing ``manifest.json``, which no other module
parses. Does not belong here: the content itself (snapshots.py, train_set.py), or what an adapter must keep to be served
(training/adapter.py).

A manifest of an older version is read as it is: fields that are missing take their defaults, fields that are not known here
are kept, and what is written again holds exactly the fields that were read or set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, field_validator

from correctly_assets.artifacts.files import write_text_atomically
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.training import Canary

_FILE = "manifest.json"


class ManifestError(PermanentError):
    """A manifest is missing, damaged, or of another kind; the message says how to get a good one."""


class ManifestMissing(ManifestError):
    """The directory, or the manifest in it, is not there."""


class _Kept(BaseModel):
    """Part of a manifest. Fields of other versions are kept."""

    model_config = ConfigDict(extra="allow")


class Manifest(_Kept):
    """What every manifest holds.

    Attributes:
        kind: ``examples``, ``train_set`` or ``lora_adapter``.
        id: first 12 hex digits of the content's sha256; also the directory's name.
        files: {name: sha256} of the files whose bytes make the ID.
    """

    remedy: ClassVar[str] = "remove {directory} and let it be built again"
    when_missing: ClassVar[str] = remedy

    kind: str = ""
    id: str = ""
    files: dict[str, str] = Field(default_factory=dict)

    def to_text(self) -> str:
        """The file's text: the fields that were read or set, and no others."""
        return (
            json.dumps(self.model_dump(mode="json", exclude_unset=True), indent=1, sort_keys=True, ensure_ascii=False)
            + "\n"
        )


class SnapshotManifest(Manifest):
    """What a snapshot of examples and a train set share.

    Attributes:
        format: version of the Parquet file's columns.
        rows: how many rows the file holds.
        row_digest: hash of the set of rows, which does not depend on the file format.
        forgotten: IDs of the examples that people took back; their rows are gone from the file.
    """

    format: int = 0
    rows: int = 0
    row_digest: str = ""
    forgotten: list[str] = Field(default_factory=list)


class ExamplesManifest(SnapshotManifest):
    """A snapshot of the accepted examples."""

    kind: str = "examples"


class TrainSetManifest(SnapshotManifest):
    """The pairs that an adapter is trained on.

    Attributes:
        examples_snapshot: ID of the snapshot that the pairs were written from.
        rows_digest: hash of the accepted rows that the train set stands for: the snapshot's, less those held back.
        straddling: IDs of the examples that were held back because they are near to both splits.
        teacher: who wrote the pairs, with version or model.
        seed: of the draw and of the injected errors.
        human_weight: how often a verified human correction is seen.
        held_out_percent: share of sources that are held out.
        staged: pairs before duplicates were dropped.
    """

    kind: str = "train_set"
    examples_snapshot: str | None = None
    rows_digest: str | None = None
    straddling: list[str] = Field(default_factory=list)
    teacher: str | None = None
    seed: int | None = None
    human_weight: int | None = None
    held_out_percent: int | None = None
    staged: int | None = None


class StageRecipe(_Kept):
    """One stage of the curriculum (`settings.training_settings.TrainStage`)."""

    name: str
    mix: dict[str, float] = Field(default_factory=dict)
    passes: float = 1.0
    learning_rate: float | None = None


class TrainingRecipe(_Kept):
    """The settings that make an adapter. ``stages``, ``replay`` and ``learners`` are set only where they are not the usual
    ones, so that a platform from before they were settings does not train again for them."""

    teacher: str | None = None
    teacher_model: str | None = None
    pairs: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    start: str | None = None
    stages: list[StageRecipe] | None = None
    replay: float | None = None
    learners: list[str] | None = None
    lora_rank: int | None = None
    human_weight: int | None = None
    reason_language: str | None = None
    seed: int | None = None


class Recipe(_Kept):
    """What, besides the rows, makes an adapter: the base model's revision, the hash of the prompts, the training settings."""

    base_model: str | None = None
    prompts: str | None = None
    training: TrainingRecipe | None = None


class Provenance(_Kept):
    """What a training is made from, as the platform hands it to the trainer and the adapter's manifest keeps it.

    Attributes:
        train_set: ID of the train set.
        warm_start: ID of the adapter that training started from; None where it was the base model. A manifest of an older
            version does not name it (`names_its_start`).
        examples_snapshot: ID of the examples behind the train set.
        rows_digest: hash of the accepted rows that the train set stands for.
        recipe: what, besides the rows, makes the adapter. Its hash is part of the fingerprint, so it is kept as it is.
        recipe_digest: hash of the recipe.
        prompts: hash of the prompt files.
        base: revision of the base model, where there is no recipe to name it.
        training_key: what tells this training from others (training/child.py).
        dagster_run: ID of the run that asked for it.
    """

    train_set: str | None = None
    warm_start: str | None = None
    examples_snapshot: str | None = None
    rows_digest: str | None = None
    recipe: Recipe | None = None
    recipe_digest: str | None = None
    prompts: str | None = None
    base: str | None = None
    training_key: str | None = None
    dagster_run: str | None = None

    @field_validator("train_set", mode="before")
    @classmethod
    def _id_of(cls, value: Any) -> Any:
        return value.get("id") if isinstance(value, dict) else value

    @property
    def names_its_start(self) -> bool:
        """Whether it says what training started from, be it the base model."""
        return "warm_start" in self.model_fields_set

    @property
    def recipe_start(self) -> str | None:
        """Where the recipe has a training start: ``base`` or ``champion``; None where there is no recipe."""
        return self.recipe.training.start if self.recipe and self.recipe.training else None


class NamedBaseModel(_Kept):
    """The base model that an adapter belongs to."""

    name: str = ""
    revision: str = ""


class LoraShape(_Kept):
    """An adapter's shape."""

    rank: int | None = None
    alpha: float | None = None
    targets: str | list[str] | None = None


class TrainedWith(_Kept):
    """The knobs of the run that made an adapter; those that are not named here are kept too."""

    lora: LoraShape = Field(default_factory=LoraShape)


class SliceLoss(_Kept):
    """Held-out loss of one slice before and after training, in nats a completion token, over ``items`` turns."""

    before: float
    after: float
    items: int


class Figures(_Kept):
    """What was measured of the run that made an adapter (`core.training.TrainResult`); empty for an adopted one.

    Attributes:
        forgetting: by slice.
        plan: what was promised and what it took (training/run_history.py).
    """

    pairs: int | None = None
    items: int | None = None
    steps: int | None = None
    loss_first: float | None = None
    loss_last: float | None = None
    held_out_loss: float | None = None
    forgetting: dict[str, SliceLoss] = Field(default_factory=dict)
    plan: dict[str, Any] = Field(default_factory=dict)


class Elsewhere(_Kept):
    """What is known of an adapter that was trained elsewhere."""

    base_model_name_or_path: str | None = None
    revision: str | None = None
    peft_version: str | None = None
    manifest: dict[str, JsonValue] | None = None


class AdapterManifest(Provenance, Manifest):
    """An adapter.

    Attributes:
        canary: what proves to serving that the engine applies this adapter.
        origin: ``trained elsewhere`` for an adopted adapter, None for one trained here.
        data_sha256, prompt_sha256, code_sha256: hashes of the pairs, the prompt files and the trainer's sources.
        config: knobs of the run; None where nothing is known of it.
        scores: by mode, of the adapter that ships.
        averaged: the two adapters whose weights these are the mean of; the rest tells of the second one's training.
    """

    remedy: ClassVar[str] = "restore it from a backup, or remove {directory} and train again"
    when_missing: ClassVar[str] = "adopt it with `correctly adopt`, or materialize lora_adapter again"

    kind: str = "lora_adapter"
    base_model: NamedBaseModel = Field(default_factory=NamedBaseModel)
    canary: list[Canary] = Field(default_factory=list)
    origin: str | None = None
    chat_family: str = "gemma3"
    data_sha256: str | None = None
    prompt_sha256: str | None = None
    code_version: str | None = None
    code_sha256: str | None = None
    seed: int | None = None
    config: TrainedWith | None = None
    figures: Figures | None = None
    elsewhere: Elsewhere | None = None
    scores: dict[str, dict[str, float]] = Field(default_factory=dict)
    averaged: list[str] = Field(default_factory=list)


M = TypeVar("M", bound=Manifest)


def has_manifest(directory: Path) -> bool:
    """Whether a directory is one of ours: a killed run leaves none without a manifest."""
    return (directory / _FILE).is_file()


def artefacts_in(parent: Path) -> list[Path]:
    """The directories with a manifest below ``parent``, by name; those still being written are left out."""
    return [path.parent for path in sorted(parent.glob(f"[!.]*/{_FILE}"))]


def find_artefacts(root: Path) -> Iterator[Path]:
    """The directories with a manifest anywhere below ``root``."""
    return (path.parent for path in root.rglob(_FILE))


def written_at(directory: Path) -> float:
    """When a directory's manifest was written or renewed last, as a timestamp."""
    return (directory / _FILE).stat().st_mtime


def read_manifest(directory: Path, kind: type[M]) -> M:
    """Read and check a directory's manifest.

    >>> read_manifest(adapters_dir / "3e53263536c0", AdapterManifest).base_model.name

    Raises:
        ManifestMissing: there is none.
        ManifestError: it cannot be read, or holds a value that cannot be.
    """
    path = directory / _FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ManifestMissing(
            f"{directory} has no {_FILE}; {kind.when_missing.format(directory=directory)}."
        ) from error
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read ({error.strerror or error}); {kind.remedy.format(directory=directory)}."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        at = f" at {where}" if where else ""
        raise ManifestError(
            f"{path} cannot be read, it is damaged or from another version{at}: {first['msg']}; "
            f"{kind.remedy.format(directory=directory)}."
        ) from error


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write a directory's manifest in one step.

    Raises:
        OSError: the disk is full or not writable; the old manifest stands.
    """
    path = directory / _FILE
    write_text_atomically(path, manifest.to_text())
    path.chmod(0o644)  # as it was: an engine or a gateway may run as somebody else


def renew_manifest(directory: Path, newer: BaseModel) -> None:
    """Write the fields that ``newer`` has set over a directory's manifest; the others stay as they are.

    Raises:
        ManifestError: there is no manifest, or it cannot be read.
    """
    stands = read_manifest(directory, Manifest)
    fields = [one.model_dump(mode="json", exclude_unset=True) for one in (stands, newer)]
    write_manifest(directory, Manifest.model_validate(fields[0] | fields[1]))


def foreign_manifest(directory: Path) -> dict[str, JsonValue] | None:
    """What another Correctly wrote beside an adapter from elsewhere, as it is; None where there is nothing readable."""
    try:
        return TypeAdapter(dict[str, JsonValue]).validate_json((directory / _FILE).read_bytes())
    except (OSError, ValueError):
        return None
