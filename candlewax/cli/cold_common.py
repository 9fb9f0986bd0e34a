"""Shared parts of the commands of the cold tier."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from candlewax.cli.common import CommandError, exit_on_error, print_database
from candlewax.clickhouse.client import Database, open_tables
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.runtime.cold_settings import ColdSettings, reach_archive
from candlewax.runtime.settings import Settings
from candlewax.runtime.settings import load as load_settings


def load_cold_settings(status: int) -> tuple[Settings, ColdSettings]:
    """Return the settings, and those of the cold tier. Without one, exit with the status."""

    def read() -> tuple[Settings, ColdSettings]:
        settings = load_settings()
        if settings.cold is None:
            raise CommandError(
                "CANDLEWAX_COLD: got nothing, takes a directory or s3://bucket/prefix"
            )
        if settings.cold.is_local and not isinstance(settings.clickhouse, Path):
            raise CommandError(
                "CANDLEWAX_COLD: got a directory, takes s3://bucket/prefix: a ClickHouse server "
                "reads the archive by itself"
            )
        return settings, settings.cold

    return exit_on_error(status, read)


@contextmanager
def open_cold(status: int) -> Iterator[ColdTier]:
    """Open the configured database and archive. If that fails, exit with the status."""
    logging.basicConfig(level=logging.WARNING)
    settings, cold = load_cold_settings(status)
    print_database(settings)
    reach_archive(cold)
    database = exit_on_error(status, lambda: open_tables(settings.clickhouse, settings.database))
    with closing(database):
        yield exit_on_error(status, lambda: _open(cold, database))


def _open(cold: ColdSettings, database: Database) -> ColdTier:
    try:
        return open_tier(cold, database)
    except ArchiveError as error:
        raise CommandError(str(error)) from error
