"""`python -m correctly_assets.commands.serve_dagster WORKSPACE`: the process that serves Dagster's pages.

Belongs here: reading the settings. Does not belong here: the work (platform/dagster_web.py).
"""

import os
import sys
from pathlib import Path

from correctly_assets.platform.dagster_web import serve_dagster
from correctly_assets.settings import get_settings

if __name__ == "__main__":
    os.umask(0o077)
    serve_dagster(get_settings(), Path(sys.argv[1]))
