"""Open WebUI's settings, and the platform's own key where the gateway asks for one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from correctly_assets.runtime.client import correct_texts
from correctly_assets.runtime.keys import bearer, own_key
from correctly_assets.runtime.webui import SUGGESTIONS, environment, private_environment, secret_key, webui_command
from correctly_assets.serving.gateway.access import new_key
from correctly_assets.serving.gateway.options import Options
from correctly_assets.settings import PROJECT_ROOT, Settings, get_settings
from correctly_tests.serving_fakes import fake_engine, running_gateway

NEEDED = {
    "ENABLE_PERSISTENT_CONFIG": "False",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_OLLAMA_API": "False",
    "DEFAULT_MODELS": "correctly",
    "DEFAULT_MODEL_PARAMS": '{"function_calling": "legacy"}',
    "ENABLE_FORWARD_USER_INFO_HEADERS": "True",
    "BYPASS_MODEL_ACCESS_CONTROL": "True",
}


def test_the_settings_that_matter_stand_in_the_environment_here_and_in_compose() -> None:
    made = environment()
    assert NEEDED.items() <= made.items()
    compose = (PROJECT_ROOT / "docker-compose.yml").read_text()
    of_the_chat = compose[compose.index("  open-webui:") :]
    for name in NEEDED:
        assert name in of_the_chat, name
    tasks = [name for name in made if name.endswith("_GENERATION")]
    assert len(tasks) >= 6 and {made[name] for name in tasks} == {"False"}


def test_suggestions_are_awkward_sentences_to_try_with_a_title() -> None:
    shown = json.loads(environment()["DEFAULT_PROMPT_SUGGESTIONS"])
    assert [item["content"] for item in shown] == [text for _, _, text in SUGGESTIONS]
    assert len(shown) >= 4 and all(len(item["title"]) == 2 for item in shown)


def test_one_version_is_installed_and_its_image_is_the_same() -> None:
    lock = (PROJECT_ROOT / "deploy" / "requirements-webui.lock").read_text()
    assert "open-webui==0.12.4" in lock
    assert "ghcr.io/open-webui/open-webui:v0.12.4" in (PROJECT_ROOT / "docker-compose.yml").read_text()


def test_the_session_key_has_32_bytes_is_made_once_and_is_its_owners_alone(settings: Settings) -> None:
    key = secret_key(settings)
    assert len(bytes.fromhex(key)) == 32
    assert secret_key(settings) == key
    assert (settings.home / "webui" / "secret-key").stat().st_mode & 0o077 == 0


def test_on_loopback_nobody_signs_in_and_on_a_network_a_preset_admin_with_a_password_of_its_own(
    tmp_path: Path,
) -> None:
    here = Settings(home=tmp_path / "a", host="127.0.0.1")  # pyright: ignore[reportCallIssue]
    assert private_environment(here)["WEBUI_AUTH"] == "False"
    passwords = set()
    for name in "bc":
        out = Settings(home=tmp_path / name, host="0.0.0.0")  # pyright: ignore[reportCallIssue]
        made = private_environment(out)
        assert made["WEBUI_AUTH"] == "True" and made["ENABLE_SIGNUP"] == "False" and made["WEBUI_ADMIN_EMAIL"]
        passwords.add(made["WEBUI_ADMIN_PASSWORD"])
    assert len(passwords) == 2 and all(len(password) >= 20 for password in passwords)


def test_no_secret_stands_in_what_is_rendered(settings: Settings) -> None:
    new_key(keys_file(settings), "somebody")
    secrets = [value for name, value in private_environment(settings).items() if "KEY" in name]
    assert len(secrets) == 2
    _, shown = webui_command(settings)
    assert not set(secrets) & set(shown.values())


def keys_file(settings: Settings) -> Path:
    found = Options.of(settings).keys_file
    assert found is not None
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


def test_no_key_is_made_where_none_is_asked_for(settings: Settings) -> None:
    assert own_key(settings) is None and bearer(settings) == {}
    assert not keys_file(settings).exists()
    assert "OPENAI_API_KEY" not in private_environment(settings)


def test_the_platforms_own_key_is_made_once_kept_hashed_and_made_anew_when_it_was_taken_out(settings: Settings) -> None:
    keys = keys_file(settings)
    new_key(keys, "somebody")
    key = own_key(settings)
    assert key and own_key(settings) == key and private_environment(settings)["OPENAI_API_KEY"] == key
    assert key not in keys.read_text() and set(json.loads(keys.read_text())) == {"somebody", "platform"}
    assert (settings.home / "run" / "own-key").stat().st_mode & 0o077 == 0
    keys.write_text(json.dumps({"somebody": json.loads(keys.read_text())["somebody"]}))
    assert own_key(settings) not in (None, key)


@pytest.mark.slow
def test_the_command_line_goes_on_working_when_keys_come_into_use(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    keys = keys_file(settings)
    with (
        fake_engine() as engine,
        running_gateway(settings.home, engine, Options(poll_seconds=0.05, keys_file=keys)) as running,
    ):
        engine.default = {"He go home.": "He goes home."}
        running.serves(running.release("a"))
        new_key(keys, "somebody")
        assert running.chat("He go home.").status_code == 401
        monkeypatch.setenv("CORRECTLY_GATEWAY_PORT", running.url.rsplit(":", 1)[1])
        get_settings.cache_clear()
        [done] = correct_texts(get_settings(), ["He go home."], reasons=False, language="en")
        assert done["after"] == "He goes home."
