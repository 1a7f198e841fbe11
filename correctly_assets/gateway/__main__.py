"""``python -m correctly_assets.gateway``: serve; with ``--new-key NAME``: make a client's key.

Belongs here: the process's own command line. Does not belong here: anything a request needs.
"""

from __future__ import annotations

import argparse

import uvicorn

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.app import create_app
from correctly_assets.gateway.metrics import log_to_stderr
from correctly_assets.gateway.options import Options
from correctly_assets.settings import get_settings


def main() -> None:
    """Serve until told to stop; answers under way are finished first."""
    parser = argparse.ArgumentParser(prog="python -m correctly_assets.gateway", description=__doc__)
    parser.add_argument("--new-key", metavar="NAME", help="make a key for this client, print it once, and end")
    parser.add_argument("--reason-language", choices=("en", "ko"), help="the language of that client's reasons")
    chosen = parser.parse_args()
    settings = get_settings()
    options = Options.of(settings)
    if chosen.new_key:
        assert options.keys_file is not None
        print(new_key(options.keys_file, chosen.new_key, chosen.reason_language))
        return
    log_to_stderr()
    uvicorn.run(
        create_app(settings, options),
        host=settings.platform.host,
        port=settings.platform.gateway_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=6,
        server_header=False,
    )


if __name__ == "__main__":
    main()
