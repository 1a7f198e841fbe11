"""pip's thousand lines as one that counts: `pip install -r LOCK | python pip_progress.py VENV LOCK`.

Belongs here: reading pip's standard output. Its errors do not come this way: they stay on standard error. Standard library
only: nothing is installed yet.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = re.compile(r"(?:Collecting|Processing|Requirement already satisfied:) (?:\S*/)?([^\s/=<>!~;]+)")
SIZE = re.compile(r" +Downloading .*(\(\S+ [MG]B\))")


def main() -> None:
    venv, lock = sys.argv[1], Path(sys.argv[2])
    total = sum(line[:1].isalnum() for line in lock.read_text(encoding="utf-8").splitlines())
    rewrites, number, name = sys.stdout.isatty(), 0, ""
    for line in sys.stdin:
        if found := PACKAGE.match(line):
            number, name = number + 1, re.sub(r"-\d.*", "", found.group(1))
        elif found := SIZE.match(line):
            name += f" {found.group(1)}"
        elif line.startswith("Installing collected packages"):
            text = f"  {venv}: {number} packages are here and are written to disk …".ljust(79)
            print("\r" * rewrites + text, flush=True)
            continue
        else:
            continue
        if rewrites:
            print(f"\r  {venv}: package {number} of {total}, {name}".ljust(79)[:79], end="", flush=True)
        elif found.re is PACKAGE and number % 50 == 0:
            print(f"  {venv}: {number} of {total} packages", flush=True)


if __name__ == "__main__":
    main()
