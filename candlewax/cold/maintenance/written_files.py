"""Written files, read by ClickHouse before they are committed."""

from collections.abc import Mapping
from typing import Final

from clickhouse_connect.driver.binding import format_str

from candlewax.clickhouse.client import QueryError, short_message
from candlewax.cold import relations, store
from candlewax.cold.layers import Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.units import Measure, Unit
from candlewax.cold.warm import measure
from candlewax.runtime.cold_settings import ColdSettings

# The folders are named `exchange=...`, which ClickHouse would put in place of the column. A
# large file is not read with all threads and row groups at once.
_SETTINGS: Final = (
    "SETTINGS use_hive_partitioning = 0, max_threads = 1, "
    "input_format_parquet_memory_high_watermark = 67108864"
)


def check_file(tier: ColdTier, layer: Layer, path: str, expected: Mapping[Unit, Measure]) -> None:
    """Read a file by ClickHouse. Raise ArchiveError unless its units measure as expected."""
    rows = relations.cold_rows(layer, tier.warm.types(layer), _function(tier.settings, path))
    try:
        found = measure(tier.database, layer, expected, f"{rows} {_SETTINGS}")
    except QueryError as error:
        raise ArchiveError(f"{path}: cannot be read: {short_message(error)}") from error
    differing = sorted(
        unit for unit in {*found, *expected} if found.get(unit) != expected.get(unit)
    )
    if differing:
        names = ", ".join(map(str, differing))
        raise ArchiveError(f"{path}: written, but not as the files before it: {names}")


def _function(settings: ColdSettings, location: str) -> str:
    """Return the table function that reads a file. As those of tables, it holds no keys."""
    path = store.path_of(location)
    if settings.is_local:
        return f"file({format_str(path)}, 'Parquet')"
    return f"s3({format_str(f'{settings.s3_address}/{path}')}, 'Parquet')"
