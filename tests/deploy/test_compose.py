"""compose.yaml and the files that it mounts, checked without Docker."""

import argparse
import itertools
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from candlewax.cli import serve_options
from candlewax.exchanges import EXCHANGES
from tests.deploy.reading import ROOT, interpolate, read
from tests.support.known_settings import known_settings

DATAFLOWS = ("ingest", "silver", "ohlcv", "repair", "cold")
SCRAPED = (*DATAFLOWS, "watch")
PROCESSES = (*SCRAPED, "serve")
WRITTEN = read(ROOT / "compose.yaml")
COMPOSE = interpolate(WRITTEN, {})
SERVICES: dict[str, Any] = COMPOSE["services"]
COLD = {name for name, service in SERVICES.items() if "profiles" in service}
"""Services that only the profile `cold` starts."""
ONE_SHOT = {"bucket"}
"""Services that end when their work is done."""
EXTERNAL_KAFKA = read(ROOT / "deploy" / "kafka.yaml")

each_service = pytest.mark.parametrize("name", SERVICES)
each_dataflow = pytest.mark.parametrize("name", DATAFLOWS)
each_process = pytest.mark.parametrize("name", PROCESSES)


def mebibytes(text: str) -> int:
    assert text.endswith("m")
    return int(text[:-1])


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Return source and target of each mount."""
    return [
        (mount["source"], mount["target"])
        if isinstance(mount, dict)
        else tuple(mount.split(":")[:2])
        for mount in service.get("volumes", [])
    ]


def test_services_are_those_of_the_production_page() -> None:
    """docs/production.md describes each, and there are no others."""
    stores = {"redpanda", "console", "clickhouse", "seaweedfs", "bucket"}
    assert set(SERVICES) == {*PROCESSES, *stores, "prometheus", "alertmanager", "grafana"}
    page = (ROOT / "docs" / "production.md").read_text("utf-8")
    assert set(SERVICES) <= set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))


@each_service
def test_published_ports_are_bound_to_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), port


def test_published_ports_are_the_documented_ones() -> None:
    """No other port is published."""
    published = {
        name: [int(port.split(":")[1]) for port in service["ports"]]
        for name, service in SERVICES.items()
        if "ports" in service
    }
    assert published == {
        "redpanda": [19092, 18081],
        "console": [8080],
        "clickhouse": [8123, 9000],
        "seaweedfs": [8333],
        "serve": [8000],
        "prometheus": [9090],
        "alertmanager": [9093],
        "grafana": [3000],
    }


@each_service
def test_each_service_has_a_health_check(name: str) -> None:
    """With interval, timeout, retries and start period; one that ends needs none."""
    if name in ONE_SHOT:
        assert "healthcheck" not in SERVICES[name]
        return
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@each_service
def test_each_service_is_limited_and_restarted(name: str) -> None:
    """It has limits of memory, CPU and logs, a time to stop, and cannot gain privileges."""
    service = SERVICES[name]
    assert mebibytes(service["mem_limit"]) > 0
    assert service["cpus"] > 0
    assert service["restart"] == ("on-failure" if name in ONE_SHOT else "unless-stopped")
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"]["max-size"]


def test_all_services_fit_into_four_and_a_half_gigabytes() -> None:
    """The archive takes one and a half more."""
    limits = {name: mebibytes(service["mem_limit"]) for name, service in SERVICES.items()}
    assert sum(limits[name] for name in set(SERVICES) - COLD) * 2**20 < 4.5e9
    assert sum(limits[name] for name in COLD) * 2**20 < 1.5e9


@each_service
def test_service_waits_for_its_dependencies(name: str) -> None:
    """Until each is healthy, or has ended well."""
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if other in ONE_SHOT:
            assert wait == {"condition": "service_completed_successfully"}
        else:
            assert wait == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]


@each_service
def test_each_image_has_an_exact_version(name: str) -> None:
    """Except for the image that is built here."""
    image = SERVICES[name]["image"]
    if name in PROCESSES:
        assert image == "candlewax:local"
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+(\.\d+){0,2}", image)


@each_service
def test_mounted_volumes_are_declared_and_files_read_only(name: str) -> None:
    """Mounted files exist and cannot be written."""
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


def test_each_volume_belongs_to_one_service() -> None:
    used = [
        source
        for service in SERVICES.values()
        for source, _ in mounts(service)
        if not source.startswith("./")
    ]
    assert sorted(used) == sorted(COMPOSE["volumes"])


@each_process
def test_each_process_is_confined(name: str) -> None:
    """It runs without privileges as a plain user, on a read-only root, under an init process."""
    service = SERVICES[name]
    assert service["command"] == ([name, "--host=0.0.0.0"] if name == "serve" else [name])
    assert service.get("entrypoint") == (None if name in DATAFLOWS else ["candlewax"])
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"][:-1]) >= 30


def test_each_stateful_dataflow_has_its_own_recovery_store() -> None:
    """Ingest, repair and cold keep no state outside the tables and have none."""
    stores = {
        name: [source for source, target in mounts(SERVICES[name]) if target == "/recovery"]
        for name in DATAFLOWS
    }
    assert stores == {
        "ingest": [],
        "silver": ["silver-recovery"],
        "ohlcv": ["ohlcv-recovery"],
        "repair": [],
        "cold": [],
    }


@each_process
def test_each_candlewax_variable_is_a_setting(name: str) -> None:
    """Also in the file for an external Kafka."""
    names = {key for key in SERVICES[name]["environment"] if key.startswith("CANDLEWAX_")}
    assert names <= known_settings()
    kinds = ("URL", "REST_URL")
    assert {f"CANDLEWAX_{one.upper()}_{kind}" for one in EXCHANGES for kind in kinds} <= names
    more = EXTERNAL_KAFKA["services"].get(name, {}).get("environment", {})
    for key in more:
        assert key in names or re.fullmatch(r"CANDLEWAX_KAFKA_[A-Z_]+", key)


def test_feed_is_live_unless_the_environment_sets_it() -> None:
    written = WRITTEN["services"]["ingest"]["environment"]
    assert interpolate(written, {})["CANDLEWAX_FEED"] == "live"
    assert interpolate(written, {"CANDLEWAX_FEED": "sample"})["CANDLEWAX_FEED"] == "sample"


def test_all_services_use_the_same_user_and_password() -> None:
    """Those that the server gets from the environment."""
    given = {"CLICKHOUSE_USER": "someone", "CLICKHOUSE_PASSWORD": "anything"}
    services = interpolate(WRITTEN, given)["services"]
    assert given.items() <= services["clickhouse"]["environment"].items()
    reader = services["grafana"]["environment"]["CLICKHOUSE_PASSWORD"]
    assert reader == given["CLICKHOUSE_PASSWORD"]
    for name in PROCESSES:
        dsn = services[name]["environment"]["CANDLEWAX_CLICKHOUSE"]
        assert dsn == "http://someone:anything@clickhouse:8123"


def test_broker_advertises_a_reachable_address_to_each_client() -> None:
    """Services get its name in the network, programs on the host its loopback port."""
    command = SERVICES["redpanda"]["command"]
    options = dict(option[2:].split("=", 1) for option in command if "=" in option)
    assert options["advertise-kafka-addr"] == "internal://redpanda:9092,external://127.0.0.1:19092"
    assert options["kafka-addr"] == "internal://0.0.0.0:9092,external://0.0.0.0:19092"
    assert SERVICES["ingest"]["environment"]["CANDLEWAX_BROKERS"] == "redpanda:9092"
    assert not any("dev-container" in option for option in command)


def test_prometheus_scrapes_the_metrics_port_of_each_service() -> None:
    jobs = read(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    targets = set(
        itertools.chain.from_iterable(
            group["targets"] for job in jobs for group in job["static_configs"]
        )
    )
    (by_name,) = (group for job in jobs for group in job.get("dns_sd_configs", []))
    targets |= {f"{name}:{by_name['port']}" for name in by_name["names"]}
    ports = {SERVICES[name]["environment"]["CANDLEWAX_METRICS_PORT"] for name in SCRAPED}
    (port,) = ports
    expected = {f"{name}:{port}" for name in SCRAPED}
    metrics = ET.parse(ROOT / "deploy" / "clickhouse" / "metrics.xml")  # noqa: S314 - ours
    expected |= {f"clickhouse:{metrics.findtext('prometheus/port')}", "redpanda:9644"}
    assert targets == expected | {"localhost:9090", "alertmanager:9093"}


def test_prometheus_sends_alerts_to_the_service() -> None:
    (one,) = read(ROOT / "deploy" / "prometheus" / "prometheus.yml")["alerting"]["alertmanagers"]
    (group,) = one["static_configs"]
    assert group["targets"] == ["alertmanager:9093"]


def test_page_is_checked_where_it_listens() -> None:
    """Inside its container, and published under the same port."""
    serve = SERVICES["serve"]
    parsed = argparse.ArgumentParser()
    serve_options.add(parsed)
    port = parsed.parse_args(serve["command"][1:]).port
    assert serve["healthcheck"]["test"][-1] == f"http://127.0.0.1:{port}/api/v1/health"
    assert serve["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_scrape_targets_carry_the_name_of_their_process() -> None:
    """Alerts and dashboards distinguish processes by it. One that may be left out gets its own from
    the name it was found by.
    """
    jobs = read(ROOT / "deploy" / "prometheus" / "prometheus.yml")["scrape_configs"]
    (ours,) = (job for job in jobs if job["job_name"] == "candlewax")
    named = {group["labels"]["process"]: group["targets"] for group in ours["static_configs"]}
    assert named == {name: [f"{name}:8000"] for name in SCRAPED if name not in COLD}
    assert ours["dns_sd_configs"][0]["names"] == [name for name in SCRAPED if name in COLD]
    labels = {rule["target_label"]: rule["source_labels"] for rule in ours["relabel_configs"]}
    assert labels["process"] == ["__meta_dns_name"]


def test_grafana_user_can_only_read() -> None:
    """Its password is that of the server."""
    reader = ET.parse(ROOT / "deploy" / "clickhouse" / "reader.xml")  # noqa: S314 - ours
    assert reader.findtext("profiles/reader/readonly") == "2"
    assert reader.findtext("users/reader/profile") == "reader"
    password = reader.find("users/reader/password")
    assert password is not None
    assert password.get("from_env") == "CLICKHOUSE_PASSWORD"
    assert "CLICKHOUSE_PASSWORD" in SERVICES["clickhouse"]["environment"]


def test_clickhouse_configuration_files_have_their_root() -> None:
    """Each is XML with the root element `clickhouse`."""
    for path in sorted((ROOT / "deploy" / "clickhouse").iterdir()):
        assert ET.parse(path).getroot().tag == "clickhouse"  # noqa: S314 - ours


def test_external_kafka_replaces_the_broker() -> None:
    """No dataflow waits for the broker of compose.yaml, which does not start."""
    for name in set(DATAFLOWS) - COLD:
        assert set(EXTERNAL_KAFKA["services"][name]["depends_on"]) == {"clickhouse"}
    assert "redpanda" not in SERVICES["cold"]["depends_on"]
    for name in ("redpanda", "console"):
        assert EXTERNAL_KAFKA["services"][name]["profiles"] == ["redpanda"]
