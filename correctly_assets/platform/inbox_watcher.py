"""The inbox: files renamed into ``$CORRECTLY_HOME/inbox/`` land by themselves.

Belongs here: the loop of the small process that watches the folder. Does not belong here: reading or checking rows
(curation/), or the settings' reading (commands/watch_inbox.py).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback

from correctly_assets.core.errors import CorrectlyError
from correctly_assets.settings import Settings
from correctly_assets.workflows.land_rows import land_inbox

log = logging.getLogger("correctly.inbox")


def watch_inbox(settings: Settings) -> None:
    """Land what appears in the inbox, looking once a second, until SIGTERM or SIGINT."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    log.info("watching %s", settings.platform.inbox_dir)
    last_error = ""
    while not stop.wait(1.0):
        try:
            for file in land_inbox(settings):
                log.info("%s: %s", file.name, file.outcome.message)
            last_error = ""
        except CorrectlyError as error:
            # The file stays in the inbox and is tried again: landing is idempotent.
            last_error = _say_once(str(error), last_error)
            stop.wait(5.0)
        except Exception:
            # A folder that vanished, a disk that fails: the watcher stays, so that it lands what comes when that is mended.
            last_error = _say_once(traceback.format_exc(), last_error)
            stop.wait(5.0)


def _say_once(error_text: str, last_error: str) -> str:
    if error_text != last_error:
        log.error("%s", error_text)
    return error_text
