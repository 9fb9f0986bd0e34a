"""Catalog and tables of the archive, and the atomic swap of files."""

import logging
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    RESTError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from candlewax.cold import parquet_files, schemas
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.overwrite import Changes, Overwrite
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.units import Measure, Unit
from candlewax.runtime.cold_settings import ColdSettings

BUSY_TIMEOUT_S: Final = 30
"""Seconds that a SQLite catalog waits for the lock of another process."""


AWAY: Final = (OSError, RESTError, SQLAlchemyError)
"""Errors of a catalog or a store that is away."""


class ConflictError(RuntimeError):
    """A commit that another process forestalled, or whose outcome is unknown: plan it again."""


class Warehouse:
    """Tables of the archive. Each process has its own; any thread may use it, one at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def create_tables(self) -> None:
        """Create absent tables; add columns that the layers have and the tables lack."""
        for layer in LAYERS.values():
            self._add_columns(layer, self.find(layer) or self._create(layer))

    def _create(self, layer: Layer) -> Table:
        schema = schemas.iceberg_schema(layer)
        with suppress(NamespaceAlreadyExistsError):
            self.catalog.create_namespace(layer.namespace)
        try:
            return self.catalog.create_table(
                layer.name,
                schema,
                partition_spec=schemas.partition_spec(layer, schema),
                sort_order=schemas.sort_order(layer, schema),
                properties=schemas.PROPERTIES,
            )
        except TableAlreadyExistsError:
            return self.load(layer)

    @staticmethod
    def _add_columns(layer: Layer, table: Table) -> None:
        present = {field.name for field in table.schema().fields}
        absent = [name for name in layer.column_names if name not in present]
        if not absent:
            return
        wanted = schemas.iceberg_schema(layer)
        with table.update_schema() as update:
            for name in absent:
                # Files from before have no such column, so it cannot be required.
                update.add_column(name, wanted.find_field(name).field_type, required=False)

    def load(self, layer: Layer) -> Table:
        """Return a table as it is committed now. Raises ArchiveError if there is none."""
        table = self.find(layer)
        if table is None:
            raise ArchiveError(
                f"{layer.name}: no such table in the archive; candlewax offload makes it"
            )
        return table

    def find(self, layer: Layer) -> Table | None:
        """Return a table as it is committed now; None if the catalog does not know it."""
        try:
            return self.catalog.load_table(layer.name)
        except NoSuchTableError:
            return None

    @staticmethod
    def data_files(table: Table, units: Iterable[Unit] | None = None) -> list[DataFile]:
        """Return the committed data files that may hold rows of the units; None: all files."""
        if units is None:
            return [task.file for task in table.scan().plan_files()]
        tasks = table.scan(row_filter=_row_filter(list(units))).plan_files()
        return [task.file for task in tasks]

    @staticmethod
    def new_path(table: Table, layer: Layer, unit: Unit) -> str:
        """Return the path of a new data file, which no other writer uses."""
        folder = f"exchange={unit.exchange or 'none'}"
        if layer.partition:
            form = "%Y-%m-%d" if layer.partition == "day" else "%Y-%m"
            folder = f"{layer.partition}={unit.begin:{form}}/{folder}"
        name = f"{unit.begin:%Y%m%dT%H}" if layer.span else "all"
        return f"{table.location()}/data/{folder}/{name}-{uuid.uuid4().hex}.parquet"

    @staticmethod
    def swap(
        table: Table,
        old: Iterable[DataFile],
        new_paths: Iterable[str],
        properties: Mapping[str, str],
    ) -> Table:
        """Replace data files by new ones in one snapshot. Return the table as committed.

        Raises ConflictError if the table is not what it was when it was loaded, or if nobody knows
        whether the commit took place. Nothing is retried: a merged retry may add rows twice.
        """
        added = [parquet_file_to_data_file(table.io, table.metadata, path) for path in new_paths]
        try:
            with (
                Changes(table) as transaction,
                Overwrite(transaction, dict(properties)) as overwrite,
            ):
                for file in old:
                    overwrite.delete_data_file(file)
                for file in added:
                    overwrite.append_data_file(file)
        except (
            CommitFailedException,
            CommitStateUnknownException,
            ValidationException,
            OperationalError,
        ) as error:
            raise ConflictError(str(error)) from error
        return table


def _row_filter(units: list[Unit]) -> str:
    exchanges = ", ".join(f"'{name}'" for name in sorted({unit.exchange for unit in units}))
    by_exchange = f"exchange IN ({exchanges})"
    time = LAYERS[units[0].layer].time
    if time is None:
        return by_exchange
    begin = min(unit.begin for unit in units).isoformat()
    end = max(unit.end for unit in units).isoformat()
    return f"{by_exchange} AND {time} >= '{begin}' AND {time} < '{end}'"


def units_in(table: Table, files: Iterable[DataFile]) -> dict[Unit, tuple[Measure, DataFile]]:
    """Return each unit that the files hold, its measure by the footer, and its file.

    Raises ArchiveError if a unit is in two files: its rows would be doubled.
    """
    found: dict[Unit, tuple[Measure, DataFile]] = {}
    for file in files:
        for unit, measure in parquet_files.read_units(table.io, file.file_path).items():
            if unit in found:
                raise ArchiveError(
                    f"{unit} is in two files: {file.file_path} and {found[unit][1].file_path}"
                )
            found[unit] = measure, file
    return found


def open_warehouse(settings: ColdSettings) -> Warehouse:
    """Open the catalog that the settings name. Raises ArchiveError."""
    # It logs each access of a table.
    logging.getLogger("pyiceberg").setLevel(logging.WARNING)
    properties = {
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        "warehouse": settings.warehouse,
        **settings.s3_properties(),
    }
    uri = settings.catalog
    try:
        if uri.startswith(("http://", "https://")):
            return Warehouse(
                load_catalog(
                    "candlewax", type="rest", uri=uri, **settings.rest_properties(), **properties
                )
            )
        if uri.startswith("sqlite:"):
            uri += f"?timeout={BUSY_TIMEOUT_S}"
        return Warehouse(SqlCatalog("candlewax", uri=uri, **properties))
    except Exception as error:
        raise ArchiveError(
            f"{settings.shown_catalog}: cannot be opened: {type(error).__name__}"
        ) from error
