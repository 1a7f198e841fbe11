"""The packages that only the tests' tools need, as pins: `python test_packages.py PYPROJECT`, in an environment with all of them.

Belongs here: telling them from what the platform needs, by what the installed packages say they require. Does not belong here: their
hashes (lock.sh).
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(roots: Iterable[str]) -> set[str]:
    """The names of some requirements and of everything that they require, as far as it is installed."""
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        for extra in ("", *asked.extras):
            if (name, extra) in seen:
                continue
            try:
                further = [Requirement(line) for line in requires(name) or []]
            except PackageNotFoundError:  # torchvision, say, which vLLM asks for and runs without
                continue
            seen.add((name, extra))
            waiting += [one for one in further if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def main() -> None:
    project = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    platform = needed([*project["dependencies"], *extras["cpu"], "setuptools"])
    for name in sorted(needed(extras["test"]) - platform):
        print(f"{name}=={version(name)}")


if __name__ == "__main__":
    main()
