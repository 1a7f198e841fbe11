"""The engine's key, which only the platform's own parts know.

Belongs here: where it stands. Does not belong here: asking for it (vllm_plugin/door.py), or keys of clients (gateway/access.py).
"""

from __future__ import annotations

from pathlib import Path

from correctly_assets.artifacts.files import kept_secret

KEY_FILE = "CORRECTLY_ENGINE_KEY_FILE"
"""Names that file to an engine that nobody gives the key in its environment (docker-compose)."""


def engine_key_path(home: Path) -> Path:
    """The file under HOME that holds the key."""
    return home / "run" / "engine-key"


def engine_key(home: Path) -> str:
    """The key that vLLM is started with and that its clients show: made once, in a file of its owner alone.

    Args:
        home: the platform's HOME.

    Raises:
        OSError: the file cannot be read or made.
    """
    return kept_secret(engine_key_path(home))
