"""Cold tier of a database: its parts, opened together."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from candlewax.clickhouse.client import Database
from candlewax.cold.archive import Archive
from candlewax.cold.offload import Offloader
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.unit_table import UnitTable
from candlewax.cold.unit_writer import UnitWriter
from candlewax.cold.views import Views
from candlewax.cold.warehouse import Warehouse, open_warehouse
from candlewax.cold.warm import WarmTables
from candlewax.runtime.cold_settings import ColdSettings
from candlewax.runtime.keep_settings import Keep, Retention


@dataclass(frozen=True)
class ColdTier:
    """Parts of the cold tier of one database. `keep`: how long rows stay warm, by table."""

    settings: ColdSettings
    database: Database
    warm: WarmTables
    warehouse: Warehouse
    archive: Archive
    unit_table: UnitTable
    views: Views
    writer: UnitWriter
    offloader: Offloader
    keep: Keep

    def close(self) -> None:
        """Close what was opened beside the database."""
        self.warm.close()


def open_tier(
    settings: ColdSettings, database: Database, retention: Retention | None = None
) -> ColdTier:
    """Open the archive beside a database; the default retention counts without one.

    Raises ArchiveError.
    """
    if settings.is_local:
        _make_folder(Path(settings.location))
    warehouse = open_warehouse(settings)
    warm = WarmTables(database)
    archive = Archive(database, settings)
    unit_table = UnitTable(database)
    views = Views(database, warm, warehouse, archive, unit_table)
    writer = UnitWriter(warm, warehouse, archive, unit_table)
    offloader = Offloader(warm, warehouse, unit_table, writer, views.refresh)
    return ColdTier(
        settings,
        database,
        warm,
        warehouse,
        archive,
        unit_table,
        views,
        writer,
        offloader,
        (retention or Retention()).keep,
    )


def _make_folder(folder: Path) -> None:
    """Create a folder, and require that files can be written in it. Raises ArchiveError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ArchiveError(f"{folder}: cannot be written to: {error.strerror}") from error
