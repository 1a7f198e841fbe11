"""``python -m correctly_assets.engine.vllm_plugin.health PORT``: the healthcheck of the engine's container.

Belongs here: what stands in for the supervisor where there is none. Docker starts a container again when it ends, and not
when it is unhealthy: so an engine that has computed NaN, whose every later answer is spoilt, is ended from within. It runs
every few seconds beside the engine, hence the standard library alone. Does not belong here: what the gateway makes of NaN.
"""

from __future__ import annotations

import os
import signal
import sys
from urllib.request import ProxyHandler, build_opener

CORRUPTED = "vllm:corrupted_requests_total"


def check(url: str, engine: int) -> str | None:
    """Why the engine is not healthy, in a sentence; None where it is.

    Args:
        url: the engine's root.
        engine: its process, which is sent SIGTERM when it has computed NaN.

    Raises:
        OSError: it does not answer.
    """
    opener = build_opener(ProxyHandler({}))
    opener.open(f"{url}/health", timeout=5).close()
    with opener.open(f"{url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    corrupted = sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{CORRUPTED}{{", f"{CORRUPTED} "))
    )
    if not corrupted:
        return None
    os.kill(engine, signal.SIGTERM)
    return f"The engine computed NaN for {corrupted:.0f} answers and is ended, to be started again."


if __name__ == "__main__":
    # The engine is its container's first process.
    sys.exit(check(f"http://127.0.0.1:{int(sys.argv[1])}", 1))
