"""The room's front door: how rows come in.

Belongs here: the names that the command line, the gateway and the sensors call. Does not belong here: how it is done
(land_file.py, inbox.py, guards.py).
"""

from __future__ import annotations

from correctly_assets.curation.columns import Columns, parse_map
from correctly_assets.curation.guards import Guards, make_guards
from correctly_assets.curation.inbox import InboxFile, inbox_trouble, ready_files, scan_inbox
from correctly_assets.curation.land_file import RefusedRows, land_file, land_rows
from correctly_assets.curation.preview import Preview, preview_file
from correctly_assets.curation.readers import is_left_alone
from correctly_assets.curation.tables import train_files

__all__ = [
    "Columns",
    "Guards",
    "InboxFile",
    "Preview",
    "RefusedRows",
    "inbox_trouble",
    "is_left_alone",
    "land_file",
    "land_rows",
    "make_guards",
    "parse_map",
    "preview_file",
    "ready_files",
    "scan_inbox",
    "train_files",
]
