"""`correctly export`: an adapter for use without this platform.

Belongs here: where the export stands, and that it appears whole or not at all. Does not belong here: merging or writing
formats (training/).
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from correctly_assets.artifacts.manifests import AdapterManifest
from correctly_assets.artifacts.reports import find_report
from correctly_assets.core.errors import PermanentError, UsageError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.settings import Settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.card import CARD, model_card, write_card
from correctly_assets.training.models.gemma_config import read_gemma_config
from correctly_assets.training.models.vocabulary import packaged_vocabulary
from correctly_assets.training.tasks import GgufRequest, MergeRequest
from correctly_assets.workflows.measured_systems import adapter_named
from correctly_assets.workflows.train_adapter import local_base, run_task

Format = Literal["peft", "merged", "gguf"]
FORMATS: tuple[str, ...] = get_args(Format)

_ASKED = ("He go to school every day.", "I look forward to hear from you soon.", "The meeting starts at nine.")
"""What a GGUF file is asked, beside the weights it was made from."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written where, as ``export --json`` prints it; ``check`` holds the figures of the proof that it answers as the adapter does."""

    adapter: str
    format: str
    path: str
    gigabytes: float
    check: dict[str, float] = field(default_factory=dict)


def export(settings: Settings, prefix: str, form: str, to: Path | None) -> Exported:
    """Write an adapter as a PEFT directory, as merged weights, or as a GGUF file.

    Args:
        prefix: how the adapter's ID begins.
        form: ``peft``, ``merged`` or ``gguf``.
        to: the directory to create; ``HOME/exports/ID-FORMAT`` when None.

    Raises:
        UsageError: there is no such adapter or format, or something stands at ``to``.
        AdapterRefused: the adapter's files break a rule.
        PermanentError: the export cannot be made, or does not answer as the adapter did; nothing is left behind.
    """
    if form not in FORMATS:
        raise UsageError(f"There is no format {form!r}: choose one of {', '.join(FORMATS)}.")
    identity = adapter_named(settings.platform, prefix)
    directory = settings.platform.adapters_dir / identity
    target = (to or settings.platform.home / "exports" / f"{identity}-{form}").expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"Something stands at {target} already: remove it, or name another place with --to.")
    manifest = check_adapter(directory, local_base(settings))
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        made = work / "export"
        check = _WRITERS[form](settings, directory, manifest, made, work)
        made.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        made.replace(target)
    except OSError as error:
        raise PermanentError(
            f"Writing {target} failed ({error.strerror or error}); check the disk and try again."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return Exported(identity, form, str(target), round(size / 1e9, 3), check)


def _peft(_: Settings, directory: Path, __: AdapterManifest, made: Path, ___: Path) -> dict[str, float]:
    shutil.copytree(directory, made)
    write_card(made)
    return {}


def _merged(settings: Settings, directory: Path, manifest: AdapterManifest, made: Path, _: Path) -> dict[str, float]:
    check = run_task(
        settings.platform,
        "merge",
        MergeRequest(
            base_model=settings.base_model_path,
            adapter=directory,
            target=made,
            prompts_dir=settings.platform.prompts_dir,
            chat_family=manifest.chat_family,
        ),
        dict[str, float],
    )
    (made / CARD).write_text(_card(directory, manifest, "merged into its base model"), encoding="utf-8")
    return check


def _gguf(settings: Settings, directory: Path, manifest: AdapterManifest, made: Path, work: Path) -> dict[str, float]:
    # Before anything is merged: it costs nothing.
    read_gemma_config(local_base(settings))
    merged = work / "merged"
    check = _merged(settings, directory, manifest, merged, work)
    made.mkdir()
    name = f"{manifest.base_model.name}-{manifest.id}"
    prompts = load_prompts(settings.platform.prompts_dir, manifest.chat_family)
    check |= run_task(
        settings.platform,
        "gguf",
        GgufRequest(
            model=merged,
            vocabulary=packaged_vocabulary(work),
            target=made / f"{name}-bf16.gguf",
            name=name,
            prompts=[prompts.correct_prompt(text) for text in _ASKED],
        ),
        dict[str, float],
    )
    (made / CARD).write_text(_card(directory, manifest, "merged into its base model, as GGUF"), encoding="utf-8")
    return check


_WRITERS = {"peft": _peft, "merged": _merged, "gguf": _gguf}


def _card(directory: Path, manifest: AdapterManifest, how: str) -> str:
    card = model_card(manifest, find_report(directory)).replace("library_name: peft", "library_name: transformers", 1)
    return card.replace("# A Correctly adapter\n", f"# A Correctly adapter, {how}\n", 1)
