"""``python -m correctly_assets.gateway``: serve.

Belongs here: the process's own command line. Does not belong here: anything a request needs.
"""

from __future__ import annotations

import os
import sys

from correctly_assets.gateway.access import why_closed
from correctly_assets.gateway.app import create_app
from correctly_assets.gateway.metrics import log_to_stderr
from correctly_assets.gateway.options import Options
from correctly_assets.gateway.server import make_server
from correctly_assets.settings import get_settings


def main() -> int:
    """Serve until told to stop; answers under way are finished first. Returns the exit code."""
    os.umask(0o077)
    settings = get_settings()
    if (why := why_closed(settings.platform)) is not None:
        print(why, file=sys.stderr)
        return 2
    log_to_stderr()
    app = create_app(settings, Options.of(settings))
    make_server(
        app, settings.platform.host, settings.platform.gateway_port, log_config=None, timeout_graceful_shutdown=6
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
