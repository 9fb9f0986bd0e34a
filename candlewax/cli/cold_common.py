"""Shared parts of the commands of the cold tier."""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from candlewax.cli.common import exit_on_error, print_database
from candlewax.clickhouse.client import open_tables
from candlewax.cold.layers import LAYERS
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.recover import lost_tables
from candlewax.cold.service import require_cold
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.cold.warehouse import AWAY, ConflictError
from candlewax.runtime.cold_settings import ColdSettings, reach_archive
from candlewax.runtime.exit_reasons import print_error
from candlewax.runtime.settings import Settings
from candlewax.runtime.settings import load as load_settings


def load_cold_settings(status: int) -> tuple[Settings, ColdSettings]:
    """Return the settings, and those of the cold tier. Without one, exit with the status."""

    def read() -> tuple[Settings, ColdSettings]:
        settings = load_settings()
        return settings, require_cold(settings)

    return exit_on_error(status, read)


@contextmanager
def open_cold(status: int, *errors: type[Exception]) -> Iterator[ColdTier]:
    """Open the configured database and archive.

    If that fails, or the block raises one of `errors`, exit with a message and the status.
    """
    expected: tuple[type[Exception], ...] = (ArchiveError, ConflictError, *AWAY, *errors)
    logging.basicConfig(level=logging.WARNING, format="candlewax: %(message)s")
    settings, cold = load_cold_settings(status)
    print_database(settings)
    reach_archive(cold)
    database = exit_on_error(
        status, lambda: open_tables(settings.clickhouse, settings.database, settings.retention)
    )
    with closing(database), ExitStack() as stack:
        try:
            yield stack.enter_context(closing(open_tier(cold, database, settings.retention)))
        except expected as error:
            print_error(str(error))
            sys.exit(status)


def require_tables(tier: ColdTier) -> None:
    """Raise ArchiveError if the catalog has no table, as before the first offload."""
    if any(tier.warehouse.find(layer) for layer in LAYERS.values()):
        return
    if lost_tables(tier):
        raise ArchiveError(
            "the catalog has lost the tables of the archive; candlewax cold recover registers them"
        )
    raise ArchiveError("the archive is empty; candlewax offload fills it")
