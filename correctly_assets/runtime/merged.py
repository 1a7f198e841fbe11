"""``python -m correctly_assets.runtime.merged ADAPTER_DIR PORT``: merge once, then become the engine of the merged weights.

Belongs here: where merged weights stand, and one engine's own start. Does not belong here: merging (training/merging.py),
which engines run (fleet.py). The supervisor holds one process from merging to the engine's end, for the latter replaces
the former.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from correctly_assets.core.errors import CorrectlyError, PermanentError, RetryableError
from correctly_assets.core.hashing import hash_files, write_artefact
from correctly_assets.serving.merged import EngineBook
from correctly_assets.settings import Settings, get_settings
from correctly_assets.training.adapter import check_adapter
from correctly_assets.training.base_model import base_model_revision

from .gc import require_space
from .processes import engine_command

Merge = Callable[[Settings, Path, dict[str, Any], Path], object]
"""(settings, adapter's directory, its manifest, target) → writes base and adapter as one into the target."""


def merge_in_a_child(settings: Settings, adapter: Path, manifest: dict[str, Any], target: Path) -> object:
    """Merge in a process of its own, whose memory is free before the engine takes its own.

    Raises:
        CorrectlyError: as the child says, e.g. that the merged weights answer otherwise than the adapter.
    """
    from .training import run_task

    request = {
        "base_model": settings.base_model_path,
        "adapter": str(adapter),
        "target": str(target),
        "prompts_dir": str(settings.prompts_dir),
        "chat_family": manifest["chat_family"],
    }
    return run_task(settings, "merge", request)


def made_from(settings: Settings, adapter: str) -> dict[str, str]:
    """What merged weights are made from: with the same, they need no making."""
    return {"adapter": adapter, "base_model": base_model_revision(settings.base_model_path)}


def find_merged(settings: Settings, adapter: str) -> Path | None:
    """The merged weights of an adapter, if they stand there as they were written; damaged ones are removed."""
    wanted = made_from(settings, adapter)
    for file in settings.merged_dir.glob("[!.]*/manifest.json"):
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            if manifest["made_from"] != wanted:
                continue
            if hash_files(file.parent, list(manifest["files"])) == manifest["files"]:
                return file.parent
        except (OSError, ValueError, KeyError):
            pass  # half a directory, or a file that is gone: no weights of ours
        shutil.rmtree(file.parent, ignore_errors=True)
    return None


def merged_directory(settings: Settings, adapter: Path, merge: Merge = merge_in_a_child) -> Path:
    """``HOME/merged/ID``, made once: immutable, named by its content, there whole or not at all.

    Args:
        adapter: the adapter's directory, ``adapters/ID``.

    Raises:
        AdapterRefused: the adapter's files break a rule.
        PermanentError: it cannot be merged, or the disk is full.
    """
    known = find_merged(settings, adapter.name)
    if known is not None:
        return known
    base = Path(settings.base_model_path)
    manifest = check_adapter(adapter, base)
    require_space(settings, least=2 * sum(file.stat().st_size for file in base.glob("*.safetensors")))
    content: list[str] = []

    def fill(work: Path) -> None:
        merge(settings, adapter, manifest, work)
        # Known only now: larger models are written in several files.
        content.extend(sorted(path.name for path in work.iterdir() if path.is_file()))

    try:
        return write_artefact(
            settings.merged_dir, fill, content=content, manifest={"made_from": made_from(settings, adapter.name)}
        )[1]
    except OSError as error:
        raise PermanentError(
            f"Merged weights could not be written to {settings.merged_dir} ({error.strerror or error}): free some space."
        ) from error


def main(adapter: Path, port: int) -> int:
    """Merge, then become the engine. Returns only where that failed; the reason stands in the book by then."""
    settings = get_settings()
    try:
        model = merged_directory(settings, adapter)
    except CorrectlyError as error:
        permanent = not isinstance(error, RetryableError)
        EngineBook(settings.engines_dir).note_failure(adapter.name, str(error), permanent=permanent)
        print(error, file=sys.stderr)
        return error.exit_code
    argv, extra = engine_command(settings, model=str(model), port=port, served_name=adapter.name)
    os.execvpe(argv[0], argv, {**os.environ, **extra})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
