"""`python -m correctly_assets.settings` prints docs/settings.md.

Belongs here: printing. Does not belong here: the page (document.py).
"""

import sys

from correctly_assets.settings.document import render

if __name__ == "__main__":
    sys.stdout.write(render())
