"""The archive in compose.yaml: its profile, its store and its bucket, without Docker."""

import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.deploy.reading import ROOT, interpolate, read

WRITTEN = read(ROOT / "compose.yaml")
SERVICES: dict[str, Any] = interpolate(WRITTEN, {})["services"]
COLD = {"cold", "seaweedfs", "bucket"}
SCRIPT = ROOT / "deploy" / "bucket.sh"
KEYS = ROOT / "deploy" / "clickhouse" / "cold.xml"

SHELL = """#!/bin/sh
# Stands in for `weed shell`: writes down what it is told, and lists the buckets there are.
read -r line
printf '%s: %s\\n' "$*" "$line" >>"$FOLDER/told"
case "$line" in
*bucket.create*) [ -n "${REFUSES-}" ] || echo cold >"$FOLDER/buckets" ;;
*bucket.list*) cat "$FOLDER/buckets" ;;
esac
"""


def test_archive_is_left_out_by_default() -> None:
    """Its services have a profile of their own, no other waits for them, and no other archives."""
    assert {name for name, service in SERVICES.items() if "profiles" in service} == COLD
    for name, service in SERVICES.items():
        if name in COLD:
            assert service["profiles"] == ["cold"]
        else:
            assert not COLD & set(service.get("depends_on", {}))
            assert "CANDLEWAX_COLD" not in service.get("environment", {})


def test_all_services_use_the_same_keys_of_the_object_store() -> None:
    """The store, the server that reads it and the process that writes it."""
    given = {"COLD_S3_KEY": "a-key", "COLD_S3_SECRET": "a_secret"}
    services = {
        name: service["environment"]
        for name, service in interpolate(WRITTEN, given)["services"].items()
        if name in {"seaweedfs", "clickhouse", "cold"}
    }
    assert services["seaweedfs"] == {
        "AWS_ACCESS_KEY_ID": "a-key",
        "AWS_SECRET_ACCESS_KEY": "a_secret",
    }
    assert given.items() <= services["clickhouse"].items()
    cold = services["cold"]
    assert (cold["CANDLEWAX_COLD_S3_KEY"], cold["CANDLEWAX_COLD_S3_SECRET"]) == tuple(
        given.values()
    )
    keys = ET.parse(KEYS)  # noqa: S314 - ours
    assert keys.findtext("s3/cold/endpoint") == cold["CANDLEWAX_COLD_S3_ENDPOINT"] + "/"


def test_archive_is_at_the_ports_and_in_the_bucket_of_its_store() -> None:
    store, cold = SERVICES["seaweedfs"], SERVICES["cold"]["environment"]
    options = dict(option[1:].split("=", 1) for option in store["command"] if "=" in option)
    assert cold["CANDLEWAX_COLD_S3_ENDPOINT"] == f"http://seaweedfs:{options['s3.port']}"
    assert cold["CANDLEWAX_COLD_CATALOG"].startswith("sqlite:////catalog/")
    assert "cold-catalog:/catalog" in SERVICES["cold"]["volumes"]
    assert options["ip"] == "seaweedfs"
    assert options["master.telemetry"] == "false"
    host, bucket = SERVICES["bucket"]["command"]
    assert host == "seaweedfs"
    assert cold["CANDLEWAX_COLD"].startswith(f"s3://{bucket}/")
    assert SERVICES["bucket"]["image"] == store["image"]


def create_bucket(folder: Path, **environ: str) -> int:
    """Run the script of the service `bucket` with a shell of ours; returns its status."""
    shell = folder / "weed"
    shell.write_text(SHELL, "utf-8")
    shell.chmod(0o755)
    (folder / "buckets").touch()
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", SCRIPT, "store", "cold"],
        env={**environ, "PATH": path, "FOLDER": str(folder)},
        check=False,
    ).returncode


def test_bucket_is_created_once_its_writes_reach_the_disk(tmp_path: Path) -> None:
    assert create_bucket(tmp_path) == 0
    told = [line.partition(": ") for line in (tmp_path / "told").read_text("utf-8").splitlines()]
    assert {where for where, _, _ in told} == {"shell -master=store:9333 -filer=store:8888"}
    commands = [what.split() for _, _, what in told]
    assert [command[0] for command in commands] == [
        "fs.configure",
        "s3.bucket.create",
        "s3.bucket.list",
    ]
    assert {"-fsync", "-apply", "-locationPrefix=/buckets/"} <= set(commands[0])
    assert create_bucket(tmp_path) == 0


@pytest.mark.parametrize("there", ["", "colder\n"])
def test_script_fails_without_its_bucket(tmp_path: Path, there: str) -> None:
    """So it runs again, and nothing starts before."""
    (tmp_path / "buckets").write_text(there, "utf-8")
    assert create_bucket(tmp_path, REFUSES="yes") == 1
