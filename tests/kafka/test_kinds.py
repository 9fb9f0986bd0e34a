"""A process that sends to topics checks the kind of its database."""

from pathlib import Path

import pytest

from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND
from candlewax.pipeline.data_kind import claim
from tests.support.kafka.system import System
from tests.support.processes import candlewax

pytestmark = pytest.mark.slow("processes over a broker and a server", seconds=60)

HERE = Path("/here")


def test_repair_refuses_a_database_of_another_kind(system: System, tmp_path: Path) -> None:
    """With status 1 and both kinds in the message."""
    claim(system.tables, HERE, system.settings["CANDLEWAX_DATABASE"], SAMPLE_KIND)
    address = {"CANDLEWAX_KRAKEN_REST_URL": "http://127.0.0.1:9"}
    repair = system.start("repair", **address)
    assert repair.wait() == 1
    assert f"holds {KIND_TEXTS[SAMPLE_KIND]}; {KIND_TEXTS[REAL]}" in repair.said()
    checked = candlewax(tmp_path, "init", **system.settings)
    assert checked.returncode == 0, checked.stderr
