"""Sample, simulated and real data never meet in one archive."""

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold.archive_kind import claim_archive
from candlewax.cold.daily import prepare
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.core.kind_marks import REAL, SIMULATED


def set_kind(database: Database, kind: str) -> None:
    """Make the database one of a kind."""
    database.command("TRUNCATE TABLE database_kind SYNC")
    database.insert("database_kind", pl.DataFrame({"kind": [kind]}).to_arrow(), kind)


def test_archive_takes_the_kind_of_the_first_database_and_refuses_others(tier: ColdTier) -> None:
    assert not claim_archive(tier)
    set_kind(tier.database, SIMULATED)
    assert claim_archive(tier)
    assert claim_archive(tier)
    set_kind(tier.database, REAL)
    with pytest.raises(ArchiveError) as refused:
        prepare(tier)
    for part in (
        "CANDLEWAX_COLD", tier.settings.location, "data of the simulator", "data of real markets"
    ):  # fmt: skip
        assert part in str(refused.value)
