"""The inbox: files renamed into ``$CORRECTLY_HOME/inbox/`` land by themselves.

Belongs here: the loop of the small process that watches the folder. Does not belong here: reading or checking rows
(curation/). Run as ``python -m correctly_assets.platform.inbox_watcher``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.settings import get_settings
from correctly_assets.workflows.wiring import land_inbox

log = logging.getLogger("correctly.inbox")


def main() -> None:
    """Watch the inbox until told to stop."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = get_settings()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    log.info("watching %s", settings.platform.inbox_dir)
    while not stop.wait(1.0):
        try:
            for file in land_inbox(settings):
                landed = file.outcome
                log.info(
                    "%s: %d landed, %d duplicates, %d refused",
                    file.name,
                    landed.landed,
                    landed.duplicates,
                    landed.refused,
                )
        except CorrectlyError as error:
            # The file stays in the inbox and is tried again: landing is idempotent.
            log.error("%s", error)
            stop.wait(5.0)


if __name__ == "__main__":
    main()
