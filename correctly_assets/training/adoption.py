"""An adapter that was trained elsewhere, or made of two others, gets a manifest of ours.

Belongs here: the canary and the provenance of such an adapter, and its place among the others. Does not belong here: the
rules it must keep (adapter.py), judging it (workflows/).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from correctly_assets.artifacts.directory import write_artefact
from correctly_assets.artifacts.manifests import (
    AdapterManifest,
    Elsewhere,
    Figures,
    LoraShape,
    NamedBaseModel,
    TrainedWith,
    foreign_manifest,
    read_manifest,
    write_manifest,
)
from correctly_assets.core.errors import PermanentError
from correctly_assets.core.prompts import load_prompts
from correctly_assets.core.training import Canary
from correctly_assets.training.adapter import CONTENT, PeftConfig, check_adapter, check_foreign
from correctly_assets.training.card import CARD, ELSEWHERE, model_card, write_card
from correctly_assets.training.config import TrainConfig
from correctly_assets.training.engines.hf_model import PlainEngine
from correctly_assets.training.models.base_model import base_model_revision, base_name
from correctly_assets.training.models.load_model import load_base, read_adapter_on
from correctly_assets.training.models.lora_model import choose_device
from correctly_assets.training.output import measure_canaries
from correctly_assets.training.rendering import Renderer, load_tokenizer


def adopt_adapter(directory: Path, config: TrainConfig) -> tuple[str, Path, bool]:
    """Check an adapter, measure its canary and write it as ``adapters_dir/ID``.

    Only the two files that make an adapter are taken, byte for byte, so that its ID is the same everywhere.

    Args:
        directory: a PEFT directory.
        config: names the base model, the prompts and where adapters stand; nothing is trained.

    Returns:
        (ID, directory, whether it stood there already).

    Raises:
        AdapterRefused: with the broken rule's name.
        PermanentError: the base model cannot be read.
    """
    base_dir = Path(config.base_model)
    own = check_foreign(directory, base_dir)
    if config.threads:
        torch.set_num_threads(config.threads)
    prompts = load_prompts(config.prompts_dir, config.chat_family)
    device = choose_device(config.device)
    adapter = read_adapter_on(load_base(config.base_model, device), directory)
    # The plain engine: the hand-written one wants an adapter on every matrix, which one from elsewhere may not have.
    canaries = measure_canaries(
        adapter, PlainEngine(adapter, device), Renderer(load_tokenizer(config.base_model), prompts)
    )
    manifest = _manifest_of(directory, own, config, prompts.sha256, canaries)

    def fill(work: Path) -> None:
        for name in CONTENT:
            shutil.copyfile(directory / name, work / name)
            # The engine may run as somebody else than whoever adopts.
            (work / name).chmod(0o644)
        (work / CARD).write_text(model_card(manifest), encoding="utf-8")

    before = {path.name for path in config.adapters_dir.glob("*")}
    identity, path = write_artefact(config.adapters_dir, fill, content=CONTENT, manifest=manifest)
    check_adapter(path, base_dir)
    return identity, path, identity in before


def _manifest_of(
    directory: Path, own: PeftConfig, config: TrainConfig, prompt_sha256: str, canaries: list[Canary]
) -> AdapterManifest:
    """The manifest of an adapter from elsewhere: what is known of it, and the canary that was measured here."""
    return AdapterManifest(
        kind="lora_adapter",
        origin=ELSEWHERE,
        base_model=NamedBaseModel(name=base_name(config.base_model), revision=base_model_revision(config.base_model)),
        prompt_sha256=prompt_sha256,
        chat_family=config.chat_family,
        code_version=config.code_version,
        config=TrainedWith(lora=LoraShape(rank=own.r, alpha=own.lora_alpha, targets=own.target_modules)),
        figures=Figures(),
        canary=canaries,
        elsewhere=Elsewhere(
            base_model_name_or_path=own.base_model_name_or_path,
            revision=own.revision,
            peft_version=own.peft_version,
            # Not taken for a manifest of ours: its train set and its rows are not here, and a decision recorded about
            # them would answer a question that nobody asked.
            manifest=foreign_manifest(directory),
        ),
    )


def average_adapters(first: Path, second: Path, config: TrainConfig) -> Path:
    """Write the mean of two adapters' weights as ``adapters_dir/ID``, with the provenance of the second.

    It is of use where the second was trained on from the first: half-way between them the mean keeps much of what the second
    learned anew, and forgets less of what the first knew (Wortsman et al. 2022, arXiv:2109.01903). The factors A and B are averaged,
    not their products, so that the rank stays.

    Args:
        first, second: adapters of the same base model, rank and modules.
        config: as for `adopt_adapter`; nothing is trained.

    Raises:
        AdapterRefused, PermanentError: as `adopt_adapter` does, and where the two do not have the same matrices.
    """
    one, two = (load_file(directory / "adapter_model.safetensors") for directory in (first, second))
    if {name: value.shape for name, value in one.items()} != {name: value.shape for name, value in two.items()}:
        raise PermanentError(
            f"{first.name} and {second.name} cannot be averaged: they have other matrices or another rank."
        )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        save_file({name: (one[name] + two[name]) / 2 for name in one}, work / CONTENT[1], metadata={"format": "pt"})
        shutil.copyfile(second / CONTENT[0], work / CONTENT[0])
        identity, path, _ = adopt_adapter(work, config)
    adopted = read_manifest(path, AdapterManifest)
    kept = read_manifest(second, AdapterManifest)
    changes = {"id": identity, "files": adopted.files, "canary": adopted.canary, "averaged": [first.name, second.name]}
    write_manifest(path, kept.model_copy(update={**changes, "base_model": adopted.base_model}))
    write_card(path)
    return path
