"""Canonical hashes of values: what makes content addresses and fingerprints.

Belongs here: hashing values that are in memory. Does not belong here: hashing or writing files (artifacts/files.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def sha256_of(value: Any) -> str:
    """sha256 (hex) of a JSON-able value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    ).hexdigest()


def content_id(hashes: Mapping[str, str]) -> str:
    """The first 12 hex digits of the sha256 over names and hashes: an artefact's ID, the same everywhere."""
    return sha256_of(dict(hashes))[:12]
