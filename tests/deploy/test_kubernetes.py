"""The manifests for Kubernetes: they fit each other, the image, the command and its addresses."""

from typing import Any

import pytest

from candlewax.cli.main import build_parser
from candlewax.runtime import settings
from tests.deploy.reading import ROOT, read
from tests.deploy.test_compose import SERVICES

FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION = read(FOLDER / "kustomization.yaml")
MANIFESTS: dict[str, Any] = {
    manifest["kind"]: manifest
    for manifest in (read(FOLDER / n) for n in KUSTOMIZATION["resources"])
}
SPEC = MANIFESTS["StatefulSet"]["spec"]
POD = SPEC["template"]["spec"]
(CONTAINER,) = POD["containers"]
(GENERATED,) = KUSTOMIZATION["configMapGenerator"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
SETTINGS = dict(text.split("=", 1) for text in GENERATED["literals"])


def test_kustomization_names_every_manifest() -> None:
    """And no other file."""
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


def test_settings_are_valid_and_keep_data_on_the_volume() -> None:
    """The pod may write nothing else."""
    loaded = settings.load(SETTINGS, ROOT / "no such file")
    assert loaded.is_live
    assert loaded.metrics_port == PORTS["metrics"]
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert str(loaded.clickhouse).startswith(f"{mounts['data']}/")
    assert CONTAINER["workingDir"] == mounts["data"]
    assert CONTAINER["envFrom"][0]["configMapRef"]["name"] == GENERATED["name"]
    claims = [claim["metadata"]["name"] for claim in SPEC["volumeClaimTemplates"]]
    assert {*claims, *(volume["name"] for volume in POD["volumes"])} == set(mounts)


def test_command_is_one_of_ours_and_listens_where_its_port_is() -> None:
    """On all addresses; the name of the service is one that requests may use."""
    assert CONTAINER["command"] == ["candlewax"]
    options = build_parser("up").parse_args(CONTAINER["args"])
    assert (options.host, options.port) == ("0.0.0.0", PORTS["page"])  # noqa: S104
    assert options.name == [MANIFESTS["Service"]["metadata"]["name"]]


@pytest.mark.parametrize(
    ("probe", "path", "port"),
    [
        ("startupProbe", "/healthz", "metrics"),
        ("livenessProbe", "/healthz", "metrics"),
        ("readinessProbe", "/api/v1/health", "page"),
    ],
)
def test_probes_ask_addresses_that_are_served(probe: str, path: str, port: str) -> None:
    """Probes ask the process at its metrics, and the page at its own address."""
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": port}


def test_pod_is_confined() -> None:
    """As the services of compose.yaml: a plain user, a read-only root, no capabilities."""
    context, own = POD["securityContext"], CONTAINER["securityContext"]
    user, group = map(int, SERVICES["ohlcv"]["user"].split(":"))
    assert (context["runAsUser"], context["runAsGroup"]) == (user, group)
    assert context["fsGroup"] == group
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["allowPrivilegeEscalation"] is False
    assert own["readOnlyRootFilesystem"] is True
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert POD["automountServiceAccountToken"] is False
    assert CONTAINER["resources"]["limits"]["memory"]
    assert set(CONTAINER["resources"]["requests"]) == {"cpu", "memory"}


def test_one_pod_owns_the_database_and_may_store_before_it_ends() -> None:
    """The time to stop is at least that in compose.yaml."""
    assert SPEC["replicas"] == 1
    grace = int(SERVICES["ohlcv"]["stop_grace_period"].removesuffix("s"))
    assert POD["terminationGracePeriodSeconds"] >= grace


def test_image_has_an_exact_version() -> None:
    """The overlay's name replaces that of the image that is built here."""
    (image,) = KUSTOMIZATION["images"]
    name, _, tag = CONTAINER["image"].partition(":")
    assert image["name"] == name
    assert image["newTag"] == tag
    assert tag[0].isdigit()


def test_selectors_and_ports_name_the_pod() -> None:
    labels = SPEC["template"]["metadata"]["labels"]
    service, policy = MANIFESTS["Service"]["spec"], MANIFESTS["NetworkPolicy"]["spec"]
    assert SPEC["selector"]["matchLabels"] == labels
    assert service["selector"] == labels
    assert policy["podSelector"]["matchLabels"] == labels
    assert SPEC["serviceName"] == MANIFESTS["Service"]["metadata"]["name"]
    assert {port["targetPort"] for port in service["ports"]} == set(PORTS)
    (rule,) = policy["ingress"]
    assert {port["port"] for port in rule["ports"]} == set(PORTS)
