"""`python -m correctly_tests.faults.light_up WORDS`: `correctly WORDS` with the parts that FAULT_PARTS names, and with
engine.py in vLLM's place.

Belongs here: that exchange. Does not belong here: anything that the platform itself does.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from correctly_assets import cli
from correctly_assets.platform import processes
from correctly_assets.settings import Settings


def engine_command(settings: Settings) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-m", "correctly_tests.faults.engine", str(settings.serving.vllm_port)], {}


if __name__ == "__main__":
    wanted = os.environ["FAULT_PARTS"].split(",")
    parts = [replace(p, command=engine_command) if p.name == "vllm" else p for p in processes.PROCESSES]
    processes.PROCESSES = tuple(part for part in parts if part.name in wanted)
    cli.main()
