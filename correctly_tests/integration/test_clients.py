"""The clients that people have, each as its own program against the real gateway; the engine behind it is small and made for tests.

Belongs here: one script a client. Does not belong here: shapes in detail (unit/gateway/). A client that is not installed is skipped;
`make clients` installs them into `.venv-clients`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from correctly_assets.gateway.access import new_key
from correctly_assets.gateway.options import Options
from correctly_assets.settings import PROJECT_ROOT
from correctly_tests.serving_fakes import Running, fake_engine, running_gateway

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

BEFORE, AFTER = "She go to school every day.", "She goes to school every day."
CLIENTS = PROJECT_ROOT / ".venv-clients"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    return keys, new_key(keys, "ann")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, key: tuple[Path, str]) -> Iterator[Running]:
    options = Options(poll_seconds=0.05, keys_file=key[0])
    with fake_engine() as engine, running_gateway(tmp_path_factory.mktemp("clients"), engine, options) as running:
        engine.default = {BEFORE: AFTER}
        running.serves(running.release("aaaaaaaaaaaa"))
        yield running


def python_with(module: str) -> str:
    """The interpreter that has a client; the test is skipped where none has."""
    for python in (CLIENTS / "bin" / "python", Path(sys.executable)):
        if python.exists() and not subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
            return str(python)
    pytest.skip(f"{module} is not installed: `make clients` installs the clients.")


def run(argv: list[str], gateway: Running, key: str, cwd: Path | None = None) -> str:
    """What a client's program prints; it is given the gateway's address and a key."""
    # No proxy, no telemetry, nothing of this machine's settings.
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "BASE": gateway.url, "KEY": key, "NO_PROXY": "*"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def answers(client: str, gateway: Running, key: str, module: str) -> list[str]:
    """The lines that a script of Python prints."""
    return run([python_with(module), "-c", client], gateway, key).splitlines()


OPENAI = """
import os, openai
client = openai.OpenAI(base_url=os.environ["BASE"] + "/v1", api_key=os.environ["KEY"])
ask = dict(model="correctly-text", messages=[{"role": "user", "content": "She go to school every day."}])
print([model.id for model in client.models.list()][0])
print(client.chat.completions.create(**ask).choices[0].message.content)
chunks = client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True})
print("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
print(client.responses.create(model="correctly-text", input="She go to school every day.").output_text)
events = client.responses.create(model="correctly-text", input="She go to school every day.", stream=True)
print("".join(event.delta for event in events if event.type == "response.output_text.delta"))
"""

LANGCHAIN = """
import os
from langchain_openai import ChatOpenAI
for more in ({}, {"use_responses_api": True}):
    model = ChatOpenAI(
        model="correctly-text", base_url=os.environ["BASE"] + "/v1", api_key=os.environ["KEY"], temperature=0, **more
    )
    said = model.invoke([("system", "Correct the text."), ("user", "She go to school every day.")])
    print(said.text if isinstance(said.text, str) else said.text())
    print("".join(
        part.text if isinstance(part.text, str) else part.text() for part in model.stream("She go to school every day.")
    ))
"""

LLAMA_INDEX = """
import os
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
model = OpenAILike(
    model="correctly-text", api_base=os.environ["BASE"] + "/v1", api_key=os.environ["KEY"], is_chat_model=True
)
messages = [ChatMessage(role="system", content="Correct."), ChatMessage(role="user", content="She go to school every day.")]
print(model.chat(messages).message.content)
print("".join(part.delta or "" for part in model.stream_chat(messages)))
print(model.complete("She go to school every day.").text)
"""

LITELLM = """
import os, litellm
litellm.telemetry = False
ask = dict(
    model="openai/correctly-text", api_base=os.environ["BASE"] + "/v1", api_key=os.environ["KEY"],
    messages=[{"role": "user", "content": "She go to school every day."}], max_completion_tokens=50,
)
print(litellm.completion(**ask).choices[0].message.content)
print("".join(part.choices[0].delta.content or "" for part in litellm.completion(**ask, stream=True)))
"""

LANGUAGE_TOOL = """
import os
import language_tool_python
scheme, _, place = os.environ["BASE"].partition("://")
tool = language_tool_python.LanguageTool("en-US", remote_server=f"{scheme}://any:{os.environ['KEY']}@{place}")
text = "\\U0001f600 Hi. She go to school every day."
[match] = tool.check(text)
print(language_tool_python.utils.correct(text, [match]))
print(tool.correct("She go to school every day."))
"""

NODE = """
const { default: OpenAI } = require("openai");
(async () => {
  const client = new OpenAI({ baseURL: process.env.BASE + "/v1", apiKey: process.env.KEY });
  const ask = { model: "correctly-text", messages: [{ role: "user", content: "She go to school every day." }] };
  console.log((await client.chat.completions.create(ask)).choices[0].message.content);
  let text = "";
  const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  console.log(text);
  console.log((await client.responses.create({ model: ask.model, input: ask.messages[0].content })).output_text);
  for await (const model of client.models.list()) { console.log(model.id); break; }
})().catch((error) => { console.error(error); process.exit(1); });
"""


def test_openai_python_chats_streams_lists_models_and_asks_for_responses(
    gateway: Running, key: tuple[Path, str]
) -> None:
    assert answers(OPENAI, gateway, key[1], "openai") == ["correctly", AFTER, AFTER, AFTER, AFTER]


def test_langchain_invokes_and_streams_by_chat_and_by_responses(gateway: Running, key: tuple[Path, str]) -> None:
    assert answers(LANGCHAIN, gateway, key[1], "langchain_openai") == [AFTER] * 4


def test_llama_index_chats_streams_and_completes(gateway: Running, key: tuple[Path, str]) -> None:
    assert answers(LLAMA_INDEX, gateway, key[1], "llama_index.llms.openai_like") == [AFTER] * 3


def test_litellm_completes_and_streams(gateway: Running, key: tuple[Path, str]) -> None:
    assert answers(LITELLM, gateway, key[1], "litellm") == [AFTER] * 2


def test_language_tool_python_checks_and_corrects(gateway: Running, key: tuple[Path, str]) -> None:
    assert answers(LANGUAGE_TOOL, gateway, key[1], "language_tool_python") == [f"\U0001f600 Hi. {AFTER}", AFTER]


def test_the_openai_package_of_npm_chats_streams_and_asks_for_responses(
    gateway: Running, key: tuple[Path, str]
) -> None:
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules" / "openai").is_dir():
        pytest.skip("node or its package openai is not installed: `make clients` installs the clients.")
    assert run([node, "-e", NODE], gateway, key[1], cwd=CLIENTS).splitlines() == [AFTER, AFTER, AFTER, "correctly"]


@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "api-key: {}", "x-api-key: {}", "-u any:{}"])
def test_curl_shows_its_key_in_every_way_in_use(gateway: Running, key: tuple[Path, str], header: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed.")
    shown = header.format(key[1])
    how = ["-u", shown[3:]] if shown.startswith("-u ") else ["-H", shown]
    body = '{"model":"correctly-text","messages":[{"role":"user","content":"She go to school every day."}]}'
    argv = [curl, "-sS", "--fail", *how, "-H", "Content-Type: application/json", "-d", body]
    assert f'"content":"{AFTER}"' in run([*argv, f"{gateway.url}/v1/chat/completions/"], gateway, key[1])
    head = run([curl, "-sS", "--fail", "-I", *how, f"{gateway.url}/v1/models"], gateway, key[1])
    assert head.startswith("HTTP/1.1 200")
