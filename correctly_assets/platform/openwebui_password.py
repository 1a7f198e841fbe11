"""Sets one account's password in Open WebUI's database; run by the interpreter of Open WebUI's own environment.

    python openwebui_password.py DATABASE EMAIL   (the password on standard input)

Belongs here: this one statement, with nothing imported from the platform, which that environment does not have. Does not
belong here: which password it is (openwebui.py).
"""

import sqlite3
import sys

import bcrypt

NO_SUCH_ACCOUNT = 3


def main() -> int:
    """0 where the password was set, 3 where there is no such account yet."""
    database, email = sys.argv[1:3]
    hashed = bcrypt.hashpw(sys.stdin.read().encode(), bcrypt.gensalt()).decode()
    with sqlite3.connect(database, timeout=30) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'auth'").fetchone():
            return NO_SUCH_ACCOUNT
        changed = connection.execute("UPDATE auth SET password = ? WHERE email = ?", (hashed, email)).rowcount
    return 0 if changed else NO_SUCH_ACCOUNT


if __name__ == "__main__":
    sys.exit(main())
