"""The embedded engine: when it is loaded, and its time zone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = (
    "import pkgutil, sys\n"
    "import candlewax, dataflows\n"
    "for package in (candlewax, dataflows):\n"
    "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    "        __import__(found.name)\n"
    "print(*sorted({'chdb', 'polars', 'bytewax'} & sys.modules.keys()))\n"
)


def test_importing_every_module_does_not_load_the_engine() -> None:
    """Its library is larger than all other modules together."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["bytewax", "polars"]


ZONE = (
    "import sys; from candlewax.clickhouse.client import open_tables; from pathlib import Path;"
    "from candlewax.clickhouse import engine; "
    "tables = open_tables(Path(sys.argv[1]), 'market'); "
    "print(tables.query(\"SELECT toUnixTimestamp(toDateTime('2026-01-15 12:00:00')) AS t, "
    'timezone() AS z, toDateTime64(0, 0)::String AS s").row(0)); '
    "print(engine.connect(str(Path(sys.argv[1]).resolve())).query("
    "\"SELECT toUnixTimestamp(toDateTime('2026-01-15 12:00:00')) "
    "SETTINGS session_timezone = 'Asia/Tokyo'\").data())"
)


@pytest.mark.parametrize("zone", ["UTC-3", "<+03>-3", "Europe/Nowhere", "America/New_York", ""])
def test_engine_works_in_utc_with_any_zone_of_the_machine(zone: str, tmp_path: Path) -> None:
    """Also with a zone that the engine does not know. The zone of a session still applies."""
    done = subprocess.run(
        [sys.executable, "-c", ZONE, str(tmp_path / "ch")],
        check=True, capture_output=True, text=True, timeout=120, env={**os.environ, "TZ": zone},
    )  # fmt: skip
    first, second = done.stdout.split("\n")[:2]
    assert first == "(1768478400, 'UTC', '1970-01-01 00:00:00')"
    assert second == str(1768478400 - 9 * 3600)
