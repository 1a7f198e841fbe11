"""`python -m correctly_assets.commands.watch_inbox`: the process that lands what appears in the inbox.

Belongs here: reading the settings. Does not belong here: the work (platform/inbox_watcher.py).
"""

import os

from correctly_assets.platform.inbox_watcher import watch_inbox
from correctly_assets.settings import get_settings

if __name__ == "__main__":
    os.umask(0o077)
    watch_inbox(get_settings())
