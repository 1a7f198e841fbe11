"""The Kubernetes example: its manifests keep to the published schemas, and to what the other files of this project say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from correctly_assets.engine.launch import BASE_NAME
from correctly_assets.settings import PROJECT_ROOT, Settings
from correctly_assets.settings.group import SettingsGroup

EXAMPLE = PROJECT_ROOT / "deploy" / "examples" / "kubernetes"
MANIFESTS = sorted((EXAMPLE / "manifests").glob("*.yaml"))
FILES = [*MANIFESTS, EXAMPLE / "secrets.example.yaml", EXAMPLE / "trainer-pod.yaml"]
VERSIONS = ("1.30", kubernetes_validate.latest_version())
PART = "correctly.io/part"


def documents(files: list[Path]) -> list[dict[str, Any]]:
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def of_kind(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in documents(MANIFESTS) if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def values() -> dict[str, Any]:
    return yaml.safe_load((EXAMPLE / "values.yaml").read_text(encoding="utf-8"))


def pods() -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Labels and spec of every pod that the manifests make, and of the trainer's."""
    for document in documents(FILES):
        if document["kind"] == "Pod":
            yield document["metadata"]["labels"], document["spec"]
        elif "template" in document.get("spec", {}):
            template = document["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_document_keeps_to_the_schema_of_its_kind(file: Path, version: str) -> None:
    for document in documents([file]):
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    broken = of_kind("StatefulSet", "vllm")
    broken["spec"]["template"]["spec"]["containers"][0]["resourcess"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="resourcess"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_there_is_an_address_for_every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in of_kind("ConfigMap", "correctly-settings")["data"].items():
        monkeypatch.setenv(name, value)
    urls = Settings().serving.vllm_urls
    engines = of_kind("StatefulSet", "vllm")
    port = of_kind("Service", "vllm")["spec"]["ports"][0]["port"]
    assert urls == tuple(f"http://vllm-{number}.vllm:{port}" for number in range(engines["spec"]["replicas"]))
    assert of_kind("Service", "vllm")["spec"]["clusterIP"] == "None" and engines["spec"]["serviceName"] == "vllm"


def test_every_setting_that_is_named_is_one() -> None:
    known = {group.annotation.variable(name) for group in Settings.model_fields.values()
             if isinstance(group.annotation, type) and issubclass(group.annotation, SettingsGroup)
             for name in group.annotation.model_fields}  # fmt: skip
    named = {
        name for file in [*FILES, EXAMPLE / "values.yaml"] for name in re.findall(r"CORRECTLY_\w+", file.read_text())
    }
    assert named - known == {"CORRECTLY_ENGINE_KEY_FILE"}


def test_the_engines_command_and_environment_are_those_of_compose() -> None:
    compose = yaml.safe_load((PROJECT_ROOT / "docker-compose.yml").read_text())["services"]
    [container] = of_kind("StatefulSet", "vllm")["spec"]["template"]["spec"]["containers"]
    dtype = re.compile(r"\$\{CORRECTLY_VLLM_DTYPE:-(\w+)\}")
    assert container["command"] == [dtype.sub(r"\1", part) for part in compose["vllm-gpu"]["command"]]
    assert BASE_NAME in container["command"]
    shown = {one["name"]: one.get("value") for one in container["env"]}
    assert shown.pop("CORRECTLY_VLLM_HOST") == "$(POD_NAME).vllm" and shown.pop("POD_NAME", "") is None
    assert shown == {k: v for k, v in compose["vllm-gpu"]["environment"].items() if k != "CORRECTLY_VLLM_HOST"}
    assert container["livenessProbe"]["exec"]["command"] == compose["vllm-gpu"]["healthcheck"]["test"][1:]
    assert (
        of_kind("Deployment", "mlflow")["spec"]["template"]["spec"]["containers"][0]["command"]
        == compose["mlflow"]["command"]
    )


def test_no_secret_reaches_an_engine_or_the_trainer() -> None:
    for labels, spec in pods():
        if labels[PART] in ("vllm", "trainer"):
            assert "correctly-secrets" not in str(spec) and "postgresql" not in str(spec)


def test_the_engine_and_the_trainer_ask_for_a_gpu_and_run_where_one_is() -> None:
    seen = set()
    for labels, spec in pods():
        if "nvidia.com/gpu" in spec["containers"][0].get("resources", {}).get("limits", {}):
            seen.add(labels[PART])
            assert spec["nodeSelector"] == {"nvidia.com/gpu.present": "true"} and spec["tolerations"]
    assert seen == {"vllm", "trainer"}


def test_every_pod_runs_without_rights_and_takes_no_service_variables() -> None:
    for _, spec in pods():
        assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False
        # A service called vllm would set VLLM_PORT to an address, on which vLLM stumbles.
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_every_part_that_a_service_or_a_policy_names_is_there() -> None:
    chart = values()
    [code] = chart["dagster-user-deployments"]["deployments"]
    launcher = chart["runLauncher"]["config"]["k8sRunLauncher"]
    of_the_chart = [chart["dagsterWebserver"], chart["dagsterDaemon"], code, launcher]
    parts = {labels[PART] for labels, _ in pods()} | {one["labels"][PART] for one in of_the_chart}
    named: set[str] = set()
    for document in documents(MANIFESTS):
        if document["kind"] == "Service":
            named.add(document["spec"]["selector"][PART])
        if document["kind"] == "NetworkPolicy" and document["spec"]["podSelector"]:
            named.add(document["spec"]["podSelector"]["matchLabels"][PART])
            [rule] = document["spec"]["ingress"]
            named.update(rule["from"][0]["podSelector"]["matchExpressions"][0]["values"])
    assert named <= parts and {"vllm", "postgres", "mlflow", "gateway", "dagster"} <= named


def test_nobody_is_asked_whom_no_policy_names() -> None:
    assert of_kind("NetworkPolicy", "nobody")["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    [rule] = of_kind("NetworkPolicy", "vllm")["spec"]["ingress"]
    assert rule["from"] == [
        {"podSelector": {"matchExpressions": [{"key": PART, "operator": "In", "values": ["gateway", "dagster"]}]}}
    ]


def test_the_chart_uses_secrets_account_and_definitions_that_exist() -> None:
    chart = values()
    names = {(one["kind"], one["metadata"]["name"]) for one in documents(FILES)}
    [code] = chart["dagster-user-deployments"]["deployments"]
    assert ("Secret", chart["global"]["postgresqlSecretName"]) in names
    assert ("ServiceAccount", chart["global"]["serviceAccountName"]) in names
    assert {("ConfigMap", one["name"]) for one in code["envConfigMaps"]} <= names
    assert {("Secret", one["name"]) for one in code["envSecrets"]} <= names
    assert ("PersistentVolumeClaim", code["volumes"][0]["persistentVolumeClaim"]["claimName"]) in names
    place = Path(code["dagsterApiGrpcArgs"][1])
    assert (PROJECT_ROOT / place.relative_to("/srv/correctly")).is_file()
    web = of_kind("ConfigMap", "correctly-settings")["data"]["CORRECTLY_DAGSTER_WEB_HOST"]
    assert (
        f"helm install {web.removesuffix('-dagster-webserver')} dagster/dagster" in (EXAMPLE / "README.md").read_text()
    )
    assert chart["dagsterWebserver"]["service"]["port"] == Settings().platform.dagster_port
    assert chart["runLauncher"]["type"] == "K8sRunLauncher"


def test_the_library_is_of_dagsters_own_release() -> None:
    pinned = dict(re.findall(r"^([\w-]+)==([\w.]+)", (EXAMPLE / "requirements.txt").read_text(), re.M))
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", (PROJECT_ROOT / "deploy/requirements-cpu.lock").read_text(), re.M))
    assert pinned["dagster-k8s"] == locked["dagster-postgres"]
    assert not set(pinned) & set(locked)
    assert f"--version {locked['dagster']}" in (EXAMPLE / "README.md").read_text()
