"""The unit of systemd: accepted by systemd, with a command and settings that we know."""

import shlex
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from candlewax.cli.main import build_parser
from tests.deploy.reading import ROOT
from tests.deploy.test_alerts import need
from tests.support.known_settings import known_settings

UNIT = (ROOT / "deploy/systemd/candlewax.service").read_text("utf-8")
LINES = [line.partition("=") for line in UNIT.splitlines() if not line.startswith("#")]
VALUES: dict[str, list[str]] = {}
for _name, _, _value in LINES:
    VALUES.setdefault(_name, []).append(_value)


def analyze(*arguments: str) -> str:
    """Return what systemd-analyze prints; it must print no warning and end with 0."""
    program = need("systemd-analyze", "systemd")
    answer = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert answer.stderr == ""
    return answer.stdout


def test_systemd_accepts_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    """With a program that exists here; exposure is at most 2 of 10."""
    unit = tmp_path / "candlewax.service"
    unit.write_text(UNIT.replace("/opt/candlewax/bin/candlewax", sys.executable), "utf-8")
    analyze("verify", str(unit))
    analyze("security", "--offline=true", "--threshold=20", str(unit))


def test_command_is_one_of_ours_with_known_settings() -> None:
    """Its live feed has a database of its own, below the directory that may be written."""
    (command,) = VALUES["ExecStart"]
    program, *arguments = shlex.split(command)
    assert program.endswith("/bin/candlewax")
    assert arguments[0] == "up"
    assert build_parser("up").parse_args(arguments).fill == timedelta(days=1)
    settings = dict(text.split("=") for text in VALUES["Environment"] if "CANDLEWAX" in text)
    assert settings.keys() <= known_settings()
    (folder,) = VALUES["StateDirectory"]
    assert settings["CANDLEWAX_CLICKHOUSE"].startswith(f"/var/lib/{folder}/")
    assert VALUES["WorkingDirectory"] == [f"/var/lib/{folder}"]
    assert VALUES["ProtectSystem"] == ["strict"]


def test_reload_lets_the_service_take_up_its_instruments_file() -> None:
    """By the signal that it listens to."""
    assert VALUES["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_stop_has_as_long_as_in_compose() -> None:
    """At least: a clean stop stores everything that was read."""
    assert int(VALUES["TimeoutStopSec"][0].removesuffix("s")) >= 60
    assert VALUES["KillSignal"] == ["SIGTERM"]
    assert VALUES["Restart"] == ["on-failure"]
