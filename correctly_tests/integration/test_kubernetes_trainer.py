"""The trainer of the Kubernetes example, with Dagster's real client, before a small Kubernetes API that runs each pod's command here.

Belongs here: what passes between a run and its trainer's pod. Does not belong here: the manifests (unit/deploy/), a cluster.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import dagster as dg
import pytest
import yaml

from correctly_assets.settings import PROJECT_ROOT, get_settings
from correctly_assets.store import Store
from correctly_tests.defs.test_a_training_that_fails import (
    instance,
    put_nan_into_the_base_model,
    report_train_set,
    run_adapter,
    store,
)

__all__ = ["instance", "store"]  # fixtures
pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

EXAMPLE = PROJECT_ROOT / "deploy" / "examples" / "kubernetes"
LIBRARIES = PROJECT_ROOT / ".venv-kubernetes"


class Cluster:
    """The routes of the Kubernetes API that Dagster's client asks for a pod; a pod is a process of this machine.

    Attributes:
        pods: {name: what was asked for}. deleted: names in their order.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.pods: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.deleted: list[str] = []
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                cluster.start(body)
                self.answer(body, 201)

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path.endswith("/log"):
                    return self.log(url.path.split("/")[-2], "follow" in parse_qs(url.query))
                name = parse_qs(url.query)["fieldSelector"][0].removeprefix("metadata.name=")
                items = [cluster.status(name)] if name in cluster.pods else []
                self.answer({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items})

            def do_DELETE(self) -> None:
                name = self.path.split("/")[-1].split("?")[0]
                cluster.deleted.append(name)
                cluster.processes[name].terminate()
                self.answer(cluster.pods[name])

            def log(self, name: str, follow: bool) -> None:
                self.send_response(200)
                self.end_headers()
                process, at = cluster.processes[name], 0
                while True:
                    ended = process.poll() is not None
                    lines = (cluster.place / f"{name}.log").read_bytes().splitlines(keepends=True)
                    for line in lines[at:]:
                        if line.endswith(b"\n") or ended:
                            at += 1
                            self.wfile.write(f"2026-01-01T00:00:00.{at:09d}Z ".encode() + line)
                    if ended or not follow:
                        return
                    time.sleep(0.05)

            def answer(self, body: Any, status: int = 200) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start(self, pod: dict[str, Any]) -> None:
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        argv = [sys.executable if part == "python" else part for part in container["command"]]
        with (self.place / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                argv, cwd=PROJECT_ROOT, env=os.environ | given, stdout=log, stderr=subprocess.STDOUT
            )
        self.pods[name] = pod

    def status(self, name: str) -> dict[str, Any]:
        pod, code = self.pods[name], self.processes[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {
            "name": pod["spec"]["containers"][0]["name"], "image": "", "imageID": "", "restartCount": 0,
            "ready": code is None, "state": state,
        }  # fmt: skip
        return {**pod, "status": {"containerStatuses": [container]}}

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.server.shutdown()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def trainer(cluster: Cluster, tmp_path: Path) -> Any:
    """The example's trainer, pointed at that cluster."""
    assert LIBRARIES.is_dir(), "`make test-full` installs what the Kubernetes example needs."
    if str(LIBRARIES) not in sys.path:
        sys.path.append(str(LIBRARIES))
    spec = importlib.util.spec_from_file_location("kubernetes_example", EXAMPLE / "definitions.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert isinstance(module.defs, dg.Definitions)
    at = f"http://127.0.0.1:{cluster.server.server_port}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": at}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return module.PodTrainer(kubeconfig=str(file), poll_seconds=0.2)


def test_a_training_in_a_pod_reports_adapter_and_check(
    store: Store, instance: dg.DagsterInstance, cluster: Cluster, trainer: Any
) -> None:
    settings = get_settings()
    report_train_set(settings, store, instance)
    result = run_adapter(settings, instance, trainer)
    assert result.success
    (made,) = result.asset_materializations_for_node("lora_adapter")
    adapter = settings.platform.adapters_dir / str(made.metadata["adapter"].value)
    assert (adapter / "adapter_model.safetensors").is_file() and (made.tags or {})[
        "dagster/data_version"
    ] == adapter.name
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "the_adapter_can_be_served" and check.passed
    (pod,) = cluster.pods.values()
    asked = yaml.safe_load((EXAMPLE / "trainer-pod.yaml").read_text())
    assert pod["spec"]["nodeSelector"] == asked["spec"]["nodeSelector"]
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert pod["spec"]["containers"][0]["volumeMounts"] == asked["spec"]["containers"][0]["volumeMounts"]
    assert pod["metadata"]["labels"]["correctly.io/part"] == "trainer"
    assert cluster.deleted == [pod["metadata"]["name"]]


def test_a_training_that_cannot_succeed_in_a_pod_is_decided(
    store: Store, instance: dg.DagsterInstance, cluster: Cluster, trainer: Any
) -> None:
    settings = get_settings()
    put_nan_into_the_base_model(settings)
    report_train_set(settings, store, instance)
    assert not run_adapter(settings, instance, trainer).success
    decision = store.last_decision()
    assert decision is not None and decision.verdict == "failed"
    assert "CORRECTLY_TRAIN_LEARNING_RATE" in decision.reasons[0]
    assert cluster.deleted == list(cluster.pods)
