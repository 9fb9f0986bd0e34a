"""compose.yaml and what it mounts, as far as no Docker is needed to see it."""

import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from candlewax.runtime import settings
from candlewax.runtime.settings import SettingsError
from tests.deploy.reading import ROOT, interpolated, read

DATAFLOWS = ("ingest", "silver", "ohlcv", "repair")
PROCESSES = (*DATAFLOWS, "watch")
WRITTEN = read(ROOT / "compose.yaml")
COMPOSE = interpolated(WRITTEN, {})
SERVICES: dict[str, Any] = COMPOSE["services"]
ELSEWHERE = read(ROOT / "deploy" / "kafka.yaml")

each_service = pytest.mark.parametrize("name", SERVICES)
each_dataflow = pytest.mark.parametrize("name", DATAFLOWS)
each_process = pytest.mark.parametrize("name", PROCESSES)


def mebibytes(text: str) -> int:
    assert text.endswith("m")
    return int(text[:-1])


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """The source and target of each mount."""
    return [
        (mount["source"], mount["target"])
        if isinstance(mount, dict)
        else tuple(mount.split(":")[:2])
        for mount in service.get("volumes", [])
    ]


def known_settings() -> set[str]:
    with pytest.raises(SettingsError) as refused:
        settings.load({"CANDLEWAX_NO_SUCH": "x"}, Path("no such file"))
    return set(re.findall(r"CANDLEWAX_\w+", str(refused.value).partition("there are")[2]))


def test_the_services() -> None:
    """There are the services that docs/production.md speaks of, and no others."""
    others = {"redpanda", "console", "clickhouse", "prometheus", "grafana"}
    assert set(SERVICES) == {*PROCESSES, *others}
    page = (ROOT / "docs" / "production.md").read_text("utf-8")
    assert set(SERVICES) <= set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))


@each_service
def test_ports_on_loopback(name: str) -> None:
    """Each published port is bound to the loopback address."""
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_published_ports() -> None:
    """Published are the ports that people know, and nothing else."""
    published = {
        name: [int(port.split(":")[1]) for port in service["ports"]]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert published == {
        "redpanda": [19092, 18081],
        "console": [8080],
        "clickhouse": [8123, 9000],
        "prometheus": [9090],
        "grafana": [3000],
    }


@each_service
def test_health_checks(name: str) -> None:
    """Each service has a health check with all its times."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@each_service
def test_limits(name: str) -> None:
    """Each service has limits, a restart policy, a time to stop and no way to new privileges."""
    service = SERVICES[name]
    assert mebibytes(service["mem_limit"]) > 0
    assert service["cpus"] > 0
    assert service["restart"] == "unless-stopped"
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"]["max-size"]


def test_the_whole_is_small() -> None:
    """All services together may take less than 4 GB."""
    whole = sum(mebibytes(service["mem_limit"]) for service in SERVICES.values())
    assert whole * 2**20 < 4e9


@each_service
def test_depends_on_healthy_services(name: str) -> None:
    """A service waits for others that have health checks to be healthy."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        assert wait == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[other]


@each_service
def test_images_are_pinned(name: str) -> None:
    """Each image has an exact version."""
    image = SERVICES[name]["image"]
    if name in PROCESSES:
        assert image == "candlewax:local"
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(\.\d+)?", image)


@each_service
def test_volumes_are_declared(name: str) -> None:
    """A named volume is declared; what is mounted is there and cannot be written."""
    for source, _ in mounts(SERVICES[name]):
        if source.startswith("./"):
            assert (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]
    for mount in SERVICES[name].get("volumes", []):
        if isinstance(mount, dict):
            assert mount["read_only"] is True
        elif mount.startswith("./"):
            assert mount.endswith(":ro")


def test_volumes_are_used() -> None:
    """Each declared volume belongs to one service."""
    used = [
        source
        for service in SERVICES.values()
        for source, _ in mounts(service)
        if not source.startswith("./")
    ]
    assert sorted(used) == sorted(COMPOSE["volumes"])


@each_process
def test_processes_are_confined(name: str) -> None:
    """A process of ours runs as a plain user, on a root it cannot write, under an init process."""
    service = SERVICES[name]
    assert service["command"] == [name]
    assert service.get("entrypoint") == (None if name in DATAFLOWS else ["candlewax"])
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"][:-1]) >= 30


def test_recovery_stores() -> None:
    """Each of silver and ohlcv has a recovery store of its own; ingest and repair have
    none.
    """
    stores = {
        name: [source for source, target in mounts(SERVICES[name]) if target == "/recovery"]
        for name in DATAFLOWS
    }
    assert stores == {
        "ingest": [],
        "silver": ["silver-recovery"],
        "ohlcv": ["ohlcv-recovery"],
        "repair": [],
    }


@each_process
def test_settings_are_known(name: str) -> None:
    """Each CANDLEWAX_ name is a setting."""
    names = {key for key in SERVICES[name]["environment"] if key.startswith("CANDLEWAX_")}
    assert names <= known_settings()
    more = ELSEWHERE["services"].get(name, {}).get("environment", {})
    for key in more:
        assert key in names or re.fullmatch(r"CANDLEWAX_KAFKA_[A-Z_]+", key)


def test_feed() -> None:
    """Live is the default feed, and the user's environment says otherwise."""
    written = WRITTEN["services"]["ingest"]["environment"]
    assert interpolated(written, {})["CANDLEWAX_FEED"] == "live"
    assert interpolated(written, {"CANDLEWAX_FEED": "sample"})["CANDLEWAX_FEED"] == "sample"


def test_one_password() -> None:
    """The dataflows know the user and the password that the server is given."""
    given = {"CLICKHOUSE_USER": "someone", "CLICKHOUSE_PASSWORD": "anything"}
    services = interpolated(WRITTEN, given)["services"]
    assert services["clickhouse"]["environment"] == given
    reader = services["grafana"]["environment"]["CLICKHOUSE_PASSWORD"]
    assert reader == given["CLICKHOUSE_PASSWORD"]
    for name in PROCESSES:
        dsn = services[name]["environment"]["CANDLEWAX_CLICKHOUSE"]
        assert dsn == "http://someone:anything@clickhouse:8123"


def test_listeners() -> None:
    """The broker tells each client the address by which it came."""
    command = SERVICES["redpanda"]["command"]
    options = dict(option[2:].split("=", 1) for option in command if "=" in option)
    assert options["advertise-kafka-addr"] == "internal://redpanda:9092,external://127.0.0.1:19092"
    assert options["kafka-addr"] == "internal://0.0.0.0:9092,external://0.0.0.0:19092"
    assert SERVICES["ingest"]["environment"]["CANDLEWAX_BROKERS"] == "redpanda:9092"
    assert not any("dev-container" in option for option in command)


def test_what_prometheus_reads() -> None:
    """Prometheus reads the port on which each service serves its metrics."""
    jobs = read(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    targets = set(
        itertools.chain.from_iterable(
            group["targets"] for job in jobs for group in job["static_configs"]
        )
    )
    ports = {SERVICES[name]["environment"]["CANDLEWAX_METRICS_PORT"] for name in PROCESSES}
    (port,) = ports
    expected = {f"{name}:{port}" for name in PROCESSES}
    metrics = ET.parse(ROOT / "deploy" / "clickhouse" / "metrics.xml")  # noqa: S314 - ours
    expected |= {f"clickhouse:{metrics.findtext('prometheus/port')}", "redpanda:9644"}
    assert targets == expected | {"localhost:9090"}


def test_each_process_is_named_where_it_is_read() -> None:
    """Alerts and dashboards tell processes apart by their names."""
    jobs = read(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    (ours,) = (job for job in jobs if job["job_name"] == "candlewax")
    named = {group["labels"]["process"]: group["targets"] for group in ours["static_configs"]}
    assert named == {name: [f"{name}:8000"] for name in PROCESSES}


def test_who_looks_on_may_only_read() -> None:
    """Grafana's user changes nothing, and has the password that the server is given."""
    reader = ET.parse(ROOT / "deploy" / "clickhouse" / "reader.xml")  # noqa: S314 - ours
    assert reader.findtext("profiles/reader/readonly") == "2"
    assert reader.findtext("users/reader/profile") == "reader"
    password = reader.find("users/reader/password")
    assert password is not None
    assert password.get("from_env") == "CLICKHOUSE_PASSWORD"
    assert "CLICKHOUSE_PASSWORD" in SERVICES["clickhouse"]["environment"]


def test_server_configuration() -> None:
    """The server's configuration files are XML with the root that ClickHouse expects."""
    for path in sorted((ROOT / "deploy" / "clickhouse").iterdir()):
        assert ET.parse(path).getroot().tag == "clickhouse"  # noqa: S314 - ours


def test_image() -> None:
    """What the Dockerfile copies is there and not kept from Docker; the base is pinned."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert bases == {"python:3.12.15-slim-trixie"}
    copied = {
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    let = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in let
    assert {line[1:] for line in let if line.startswith("!")} == copied


def test_kafka_elsewhere() -> None:
    """With a Kafka elsewhere no dataflow waits for the broker here, which does not start."""
    for name in DATAFLOWS:
        assert set(ELSEWHERE["services"][name]["depends_on"]) == {"clickhouse"}
    for name in ("redpanda", "console"):
        assert ELSEWHERE["services"][name]["profiles"] == ["redpanda"]
