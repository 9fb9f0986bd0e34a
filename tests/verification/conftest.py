"""Fixtures of several tests of verification."""

from pathlib import Path

import pytest

from candlewax.cli.rebuild import build_player
from candlewax.clickhouse.client import Database
from candlewax.runtime import settings as chosen
from candlewax.verification.content_hash import Comparison
from candlewax.verification.rebuild import FIRST, LAST, rebuild
from tests.support.command_process import name
from tests.support.playing import INSTRUMENTS
from tests.support.rebuilding import Again


@pytest.fixture
def again(tables: Database, engine_path: Path) -> Again:
    """Rebuild what a test's tables hold."""
    environment = {
        "CANDLEWAX_CLICKHOUSE": str(engine_path),
        "CANDLEWAX_DATABASE": name(tables),
    }
    wanted = chosen.load(environment, Path("/nowhere"))

    def rebuilt(begin: int = FIRST, end: int = LAST) -> Comparison:
        return rebuild(wanted, build_player(INSTRUMENTS), tables, begin, end).comparison

    return rebuilt
