"""Archive as ClickHouse reads it: through the metadata file that the catalog names as committed.

Without a named file ClickHouse takes the newest one of a folder, committed or not.
"""

from collections.abc import Iterable

from clickhouse_connect.driver.binding import format_str
from pyiceberg.table import Table

from candlewax.clickhouse.client import Database, QueryError, short_message
from candlewax.cold import relations
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.units import NOTHING, Measure, Unit
from candlewax.cold.warm import WarmTables, measure
from candlewax.runtime.cold_settings import ColdSettings


class Archive:
    """Reader of the committed tables by ClickHouse."""

    def __init__(self, database: Database, settings: ColdSettings) -> None:
        self._database = database
        self._settings = settings
        self._warm = WarmTables(database)

    def table_function(self, table: Table) -> str:
        """Return the table function that reads a table at its committed metadata file.

        It holds no keys: a server has them in its configuration, an embedded engine takes those of
        `reach_archive`. A named collection would store them on disk in clear text.
        """
        location = table.location()
        metadata = table.metadata_location.removeprefix(f"{location}/")
        pinned = f"SETTINGS iceberg_metadata_file_path = {format_str(metadata)}"
        if self._settings.is_local:
            return f"icebergLocal({format_str(location.removeprefix('file://'))}, {pinned})"
        bucket, _, path = location.partition("://")[2].partition("/")
        url = f"{self._settings.s3_address}/{bucket}/{path}/"
        return f"icebergS3({format_str(url)}, {pinned})"

    def rows(self, layer: Layer, table: Table) -> str:
        """Return the SELECT of cold rows in the types of the warm table."""
        return relations.cold_rows(layer, self._warm.types(layer), self.table_function(table))

    def merged_rows(self, layer: Layer, table: Table) -> str:
        """Return the SELECT of warm rows, and of cold rows whose keys are not warm."""
        return relations.merged_rows(layer, self._warm.types(layer), self.table_function(table))

    def measure(self, table: Table, units: Iterable[Unit]) -> dict[Unit, Measure]:
        """Read units of one layer back. Return their measures; of absent ones NOTHING.

        Raises ArchiveError if ClickHouse cannot read them.
        """
        chosen = list(units)
        layer = LAYERS[chosen[0].layer]
        try:
            found = measure(self._database, layer, chosen, self.rows(layer, table))
        except QueryError as error:
            raise ArchiveError(
                f"{layer.name}: cannot be read back from the archive: {short_message(error)}"
            ) from error
        return {unit: found.get(unit, NOTHING) for unit in chosen}
