"""Open WebUI behind the platform's check of Host and Origin; run by the interpreter of Open WebUI's own environment.

    python openwebui_server.py HOST PORT [NAME …]   (names that are its own besides those of loopback)

Belongs here: what `open-webui serve` does, with the check around it. Does not belong here: anything of the platform that needs
more than the standard library, which that environment does not have; the check is loaded as the file that it is.
"""

import importlib.util
import os
import sys
from pathlib import Path


def host_check():
    """The module `correctly_assets.core.host_check`, loaded by its path."""
    path = Path(__file__).resolve().parent.parent / "core" / "host_check.py"
    spec = importlib.util.spec_from_file_location("host_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serve until told to stop."""
    host, port, *names = sys.argv[1:]
    os.umask(0o077)
    os.environ["FROM_INIT_PY"] = "true"  # where it looks for its pages, as its own command says it
    import uvicorn
    from open_webui.env import UVICORN_WS_PER_MESSAGE_DEFLATE
    from open_webui.main import app

    check = host_check()
    beyond = not check.is_loopback(host)
    uvicorn.run(
        check.HostCheck(app, names, any_address=beyond),
        host=host,
        port=int(port),
        proxy_headers=False,
        ws_per_message_deflate=UVICORN_WS_PER_MESSAGE_DEFLATE,
    )


if __name__ == "__main__":
    main()
