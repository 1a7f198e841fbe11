"""A base model from a hub: one revision of it, in a directory of our own.

Belongs here: the download and what may go wrong with it. Does not belong here: when it happens (`correctly prepare`), or
where the directory lies (settings/).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import httpx

from correctly_assets.core.errors import PermanentError, UnreachableError, UsageError
from correctly_assets.training.models.base_model import MANIFEST

FILES = ("*.safetensors", "*.json", "tokenizer.model", "*.jinja", "merges.txt")
"""Weights, configuration and tokenizer: nothing that can hold code, and no second copy of the weights."""


def download_base_model(name: str, target: Path) -> Path:
    """Download a hub's model into a directory, once.

    Args:
        name: as in ``google/gemma-3-1b-it``; HF_ENDPOINT and HF_TOKEN say which hub, and as whom.
        target: the directory to create; one that is there is returned as it is.

    Returns:
        ``target``. It appears by a rename, so a killed download leaves nothing half-written.

    Raises:
        UsageError: the hub has no such model, or does not give it to this account.
        UnreachableError: the hub does not answer, or no download is allowed.
        PermanentError: the model is none that can be trained: it has no safetensors weights in one directory.
    """
    if (target / "config.json").is_file():
        return target
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        # The revision first: what is downloaded is then what is recorded, whatever is pushed meanwhile.
        info = HfApi().model_info(name)
        snapshot_download(name, revision=info.sha, local_dir=work, allow_patterns=list(FILES))
        shutil.rmtree(work / ".cache", ignore_errors=True)
        if not (work / "config.json").is_file() or not list(work.glob("*.safetensors")):
            raise PermanentError(
                f"{name} holds no config.json with safetensors weights beside it: choose another CORRECTLY_BASE_MODEL."
            )
        licence = next((tag.partition(":")[2] for tag in info.tags or () if tag.startswith("license:")), None)
        manifest = {"name": name, "revision": info.sha, "source": name, "licence": licence or "not said by the hub"}
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        work.replace(target)
    except GatedRepoError as error:
        raise UsageError(
            f"{name} is given only to those who have accepted its terms: accept them on the model's page, set HF_TOKEN to "
            "your token, and run `correctly prepare` again."
        ) from error
    except RepositoryNotFoundError as error:
        raise UsageError(
            f"The hub has no model {name}, or not for you: check CORRECTLY_BASE_MODEL, or set HF_TOKEN."
        ) from error
    except OfflineModeIsEnabled as error:
        raise UnreachableError(
            f"{name} is not here yet, and HF_HUB_OFFLINE forbids to download it: unset it, and run `correctly prepare`."
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise UnreachableError(f"{name} could not be downloaded ({error}): run `correctly prepare` again.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
