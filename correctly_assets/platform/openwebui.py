"""Open WebUI as a part: its environment of its own and the settings that matter.

Belongs here: where its program stands, how it is started on the gateway, and why each setting is as it is. Does not belong
here: anything of its pages; it is installed, not vendored, and its branding is left as its licence asks.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from correctly_assets.core.errors import PermanentError
from correctly_assets.gateway.own_key import own_key
from correctly_assets.settings import PROJECT_ROOT, PlatformSettings, Settings
from correctly_assets.workflows.openwebui_account import ADMIN_EMAIL, admin, secret_key

VENV = PROJECT_ROOT / ".venv-webui"
LOOPBACK_PASSWORD = "admin"  # noqa: S105 - Open WebUI's own, which lets in nobody beyond loopback
"""What Open WebUI signs its only account in with while it asks nobody for a password (its own constant)."""
NOT_OFFERED = (
    "file_upload", "file_context", "vision", "web_search", "image_generation", "code_interpreter", "terminal", "memory",
    "builtin_tools", "citations",
)  # fmt: skip
"""What Open WebUI would let people do with a model unless told otherwise."""
SUGGESTIONS = (
    ("A mail to a colleague", "about a delay", "I am sorry for answer you so late, I was in holidays the last week and didn't saw your mail."),
    ("A review of a café", "with three small errors", "The coffee was amazing but the staffs was too busy for to smile, I will come back although."),
    ("An essay sentence", "about cities", "In my opinion, living in big city have more advantages than live in the countryside."),
    ("A question to a landlord", "polite", "Could you tell me when is the heating going to be repaired? It is cold since three days."),
)  # fmt: skip


def installed() -> bool:
    """Whether Open WebUI's environment stands."""
    return (VENV / "bin" / "open-webui").exists()


def set_admin_password(database: Path, password: str, python: Path = VENV / "bin" / "python") -> bool:
    """Give the administrator's account the password that holds from now on.

    Open WebUI sets a password only when it makes its first account. Without this, an account made on loopback would keep its
    well-known password after the chat is opened to a network, and one made with a password could not sign in on loopback.

    Args:
        database: Open WebUI's ``webui.db``; nothing is done before it exists.
        python: an interpreter that has bcrypt, which Open WebUI's environment brings.

    Returns:
        Whether an account was there to be changed.

    Raises:
        PermanentError: the account could not be changed; Open WebUI must not start then.
    """
    if not database.exists():
        return False
    done = subprocess.run(
        [str(python), str(Path(__file__).with_name("openwebui_password.py")), str(database), ADMIN_EMAIL],
        input=password,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode not in (0, 3):
        raise PermanentError(
            f"The password of {ADMIN_EMAIL} in {database} could not be set, so the chat page is not started: "
            f"{(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
    return done.returncode == 0


def allowed_origins(platform: PlatformSettings) -> str:
    """The pages that may read Open WebUI's answers: its own, under the names by which it is reached."""
    names = dict.fromkeys(("127.0.0.1", "localhost", platform.webui_url.split("//", 1)[1].rsplit(":", 1)[0]))
    return ";".join(f"http://{name}:{platform.webui_port}" for name in names)


def environment() -> dict[str, str]:
    """What is the same wherever it runs."""
    suggestions = [{"title": [title, sub], "content": text} for title, sub, text in SUGGESTIONS]
    tasks = ("TITLE", "TAGS", "FOLLOW_UP", "SEARCH_QUERY", "RETRIEVAL_QUERY", "AUTOCOMPLETE", "IMAGE_PROMPT")
    return {
        # The environment is the configuration: what a person clicks does not outlive it unnoticed.
        "ENABLE_PERSISTENT_CONFIG": "False",
        "OFFLINE_MODE": "true",
        "HF_HUB_OFFLINE": "1",
        "ENABLE_VERSION_UPDATE_CHECK": "False",
        "SCARF_NO_ANALYTICS": "true",
        "ANONYMIZED_TELEMETRY": "false",
        "ENABLE_COMMUNITY_SHARING": "False",
        # Functions and tools run Python inside the server; a corrector needs none of them, nor other people's servers.
        "ENABLE_PLUGINS": "False",
        "ENABLE_PIP_INSTALL_FRONTMATTER_REQUIREMENTS": "False",
        "ENABLE_CODE_EXECUTION": "False",
        "ENABLE_CODE_INTERPRETER": "False",
        "ENABLE_DIRECT_CONNECTIONS": "False",
        # Without an engine named here it would load an embedding model of its own at start.
        "RAG_EMBEDDING_ENGINE": "openai",
        "ENABLE_OLLAMA_API": "False",
        "OPENAI_API_KEY": "none",
        "DEFAULT_MODELS": "correctly",
        # Native function calling sends three dozen tools with every sentence.
        "DEFAULT_MODEL_PARAMS": json.dumps({"function_calling": "legacy"}),
        # What is new in Open WebUI would cover the first page, which shows a person what to try here.
        "DEFAULT_INTERFACE_SETTINGS": json.dumps({"showChangelog": False, "showUpdateToast": False}),
        # What a corrector does not do is not offered: attached files above all, which it would not read.
        "DEFAULT_MODEL_METADATA": json.dumps({"capabilities": dict.fromkeys(NOT_OFFERED, False)}),
        "USER_PERMISSIONS_CHAT_FILE_UPLOAD": "False",
        "USER_PERMISSIONS_CHAT_WEB_UPLOAD": "False",
        "ENABLE_MEMORIES": "False",
        "DEFAULT_PROMPT_SUGGESTIONS": json.dumps(suggestions, ensure_ascii=False),
        **{f"ENABLE_{task}_GENERATION": "False" for task in tasks},
        "ENABLE_EVALUATION_ARENA_MODELS": "False",
        # The chat's id reaches the gateway, so that a vote can be joined to its answer.
        "ENABLE_FORWARD_USER_INFO_HEADERS": "True",
        # Else a plain user sees no model.
        "BYPASS_MODEL_ACCESS_CONTROL": "True",
    }


def webui_command(platform: PlatformSettings) -> tuple[list[str], dict[str, str]]:
    """The command on this machine."""
    data = platform.home / "webui"
    argv = [
        str(VENV / "bin" / "python"),
        str(Path(__file__).with_name("openwebui_server.py")),
        platform.host,
        str(platform.webui_port),
        *sorted(platform.names),
    ]
    env = {
        **environment(),
        "DATA_DIR": str(data),
        # Its default lets every web page read every answer, sessions included.
        "CORS_ALLOW_ORIGIN": allowed_origins(platform),
        "OPENAI_API_BASE_URL": f"{platform.gateway_url}/v1",
        "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return argv, env


def private_environment(settings: Settings) -> dict[str, str]:
    """Secrets, made at the first start; kept apart so that nothing rendered can hold them."""
    (settings.platform.home / "webui").mkdir(parents=True, exist_ok=True)
    key = own_key(settings)
    shown = {"OPENAI_API_KEY": key} if key else {}
    who = admin(settings.platform)
    set_admin_password(
        settings.platform.home / "webui" / "webui.db", who.get("WEBUI_ADMIN_PASSWORD", LOOPBACK_PASSWORD)
    )
    return {"WEBUI_SECRET_KEY": secret_key(settings.platform), **shown, **who}
