"""The room's front door: how rows come in.

Belongs here: the names that the command line, the gateway and the sensors call. Does not belong here: how it is done
(files.py, inbox.py, guards.py).
"""

from __future__ import annotations

from correctly_assets.curation.files import RefusedRows, land_file, land_rows
from correctly_assets.curation.guards import Guards, make_guards
from correctly_assets.curation.inbox import InboxFile, ready_files, scan_inbox

__all__ = [
    "Guards",
    "InboxFile",
    "RefusedRows",
    "land_file",
    "land_rows",
    "make_guards",
    "ready_files",
    "scan_inbox",
]
