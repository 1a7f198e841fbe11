"""``python -m correctly_assets.training CONFIG``: one training run, with or without Dagster around it."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from correctly_assets.core.errors import UsageError
from correctly_assets.training.config import read_config
from correctly_assets.training.run import main

if __name__ == "__main__":
    os.umask(0o077)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if len(sys.argv) != 2:
        print("usage: python -m correctly_assets.training CONFIG", file=sys.stderr)
        sys.exit(2)
    try:
        settings = read_config(Path(sys.argv[1]))
    except UsageError as error:
        print(json.dumps(error.to_json()), file=sys.stderr)
        sys.exit(error.exit_code)
    sys.exit(main(settings))
