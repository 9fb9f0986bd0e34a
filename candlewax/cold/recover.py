"""Recovery: the catalog and the table `cold_units` are rebuilt from the files of the archive alone.

A catalog in a database names the committed metadata file of each table. Without it that file must
be found: files are numbered, and each names the ones before it in its log, so all files in a log
were committed. Of the files that no log names, the last commit is one. Others may be there: a
process that ended between writing a metadata file and committing it leaves one, and so does one
that lost the race. Taken is the file with the highest number, of equal ones the youngest, whose
data files are all there. If it was never committed, it holds complete units all the same: a unit's
files are written before. Each unit is then read back, and what differs from the warm rows is
offloaded again.
"""

import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from pyarrow.fs import FileSelector
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import StaticTable, Table

from candlewax.cold import relations, views
from candlewax.cold.comparison import reading_archive
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import COMMITTED, SEALED, VERIFIED, UnitState
from candlewax.cold.units import EPOCH, Measure, Unit, group_by_day
from candlewax.cold.warehouse import units_in

IsSealed = Callable[[Unit, Measure], bool]
"""Check if a manifest names a unit with this measure."""

_METADATA: Final = re.compile(r"(\d+)-[0-9a-f-]+\.metadata\.json$")

_log: Final = logging.getLogger(__name__)


class Recovered(NamedTuple):
    """Tables that were registered, number of known units, and why some are not verified."""

    registered: tuple[str, ...]
    units: int
    unverified: tuple[str, ...]


def recover(
    tier: ColdTier,
    is_sealed: IsSealed = lambda *_: False,
    on_layer: Callable[[Layer, int], object] = lambda *_: None,
) -> Recovered:
    """Fill the catalog, where it lacks tables, and `cold_units` from the files of the archive.

    Each unit is read back. Units with cold rows whose keys are not warm count as released, so no
    later offload takes these rows away. `on_layer` is called with the units of each layer. Raises
    ArchiveError if the archive cannot be read.
    """
    registered = register_tables(tier)
    unverified: list[str] = []
    units = 0
    for layer in LAYERS.values():
        found, errors = _recover_layer(tier, layer, is_sealed)
        unverified += errors
        units += found
        on_layer(layer, found)
    views.refresh_all(tier)
    return Recovered(registered, units, tuple(unverified))


def _recover_layer(tier: ColdTier, layer: Layer, is_sealed: IsSealed) -> tuple[int, list[str]]:
    with reading_archive(layer):
        table = tier.warehouse.load(layer)
        cold = units_in(table, tier.warehouse.data_files(table))
    known = tier.unit_table.states(layer)
    # Until a unit is read back nobody knows if all its rows are warm.
    tier.unit_table.store_released(cold, released=True)
    unsettled = tier.warm.unsettled(cold)
    tier.unit_table.store(
        replace(_state(table, unit, *cold[unit], known.get(unit)), settled=unit not in unsettled)
        for unit in cold
    )
    errors = []
    for day in group_by_day(cold):
        try:
            errors += _verify(tier, layer, table, {unit: cold[unit][0] for unit in day}, is_sealed)
        except ArchiveError as error:
            errors.append(str(error))
    return len(cold), errors


def _state(
    table: Table, unit: Unit, measure: Measure, file: DataFile, known: UnitState | None
) -> UnitState:
    snapshot = table.current_snapshot()
    return UnitState(
        unit,
        COMMITTED,
        measure,
        settled=True,
        files=(file.file_path.removeprefix(f"{table.location()}/"),),
        snapshot=snapshot.snapshot_id if snapshot else 0,
        # Warm rows were not measured: whatever was stored is compared in the next round.
        measured_at=EPOCH,
        version=known.version if known else 0,
    )


def _verify(
    tier: ColdTier,
    layer: Layer,
    table: Table,
    footers: Mapping[Unit, Measure],
    is_sealed: IsSealed,
) -> list[str]:
    """Read units back and remember those that are as their footers say. Return the others."""
    with reading_archive(layer):
        found = tier.archive.measure(table, footers)
        sql = relations.cold_only_sql(
            layer, tier.warm.types(layer), tier.archive.table_function(table)
        )
        cold_only = {
            (exchange, begin)
            for exchange, begin, _ in tier.database.query(
                sql, relations.parameters(footers)
            ).iter_rows()
        }
    states = tier.unit_table.states(layer)
    verified = [unit for unit in footers if found[unit] == footers[unit]]
    tier.unit_table.store(
        replace(
            states[unit],
            state=SEALED if is_sealed(unit, footers[unit]) else VERIFIED,
        )
        for unit in verified
    )
    whole = [
        unit
        for unit in verified
        if (unit.exchange, (unit.begin - EPOCH) // timedelta(seconds=1)) not in cold_only
    ]
    tier.unit_table.store_released(whole, released=False)
    return [
        f"{unit}: read back from the archive with other content"
        for unit in sorted(set(footers) - set(verified))
    ]


def register_tables(tier: ColdTier) -> tuple[str, ...]:
    """Register the newest metadata file of each table that the catalog lacks, or has empty.

    Return the names of these tables. A REST catalog keeps its tables itself. Raises ArchiveError if
    the folder of a table holds metadata files, and none whose data files are all there.
    """
    if tier.settings.catalog.startswith("http"):
        return ()
    return tuple(layer.name for layer in LAYERS.values() if _register(tier, layer))


def lost_tables(tier: ColdTier) -> tuple[str, ...]:
    """Return tables that have data in the archive, and that the catalog does not know.

    If they were created anew, their files would count as orphans.
    """
    if tier.settings.catalog.startswith("http"):
        return ()
    return tuple(
        layer.name
        for layer in LAYERS.values()
        if _current_table(tier, layer) is None and _metadata_files(tier, layer)
    )


def _register(tier: ColdTier, layer: Layer) -> bool:
    table = _current_table(tier, layer)
    if table is not None and table.current_snapshot() is not None:
        return False
    candidates = _metadata_files(tier, layer)
    if table is not None:
        candidates = [path for path in candidates if path != table.metadata_location]
    if not candidates:
        return False
    newest = _choose(tier, layer, candidates, may_be_empty=table is None)
    if newest is None:
        return False
    catalog = tier.warehouse.catalog
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(layer.namespace)
    if table is not None:
        catalog.drop_table(layer.name)
    catalog.register_table(layer.name, newest)
    return True


def _current_table(tier: ColdTier, layer: Layer) -> Table | None:
    with reading_archive(layer):
        return tier.warehouse.find(layer)


def _choose(tier: ColdTier, layer: Layer, paths: list[str], *, may_be_empty: bool) -> str | None:
    """Return the metadata file to register: the newest one whose data files are all there."""
    tables = []
    for path in paths:
        with reading_archive(layer):
            tables.append(StaticTable.from_metadata(path, _properties(tier)))
    tables.sort(
        key=lambda one: (_number(one.metadata_location), one.metadata.last_updated_ms), reverse=True
    )
    for table in tables:
        if table.current_snapshot() is None and not may_be_empty:
            continue
        try:
            with reading_archive(layer):
                units_in(table, tier.warehouse.data_files(table))
        except ArchiveError as error:
            _log.warning("%s: not taken: %s", table.metadata_location, error)
            continue
        return str(table.metadata_location)
    if may_be_empty:
        raise ArchiveError(f"{layer.name}: no metadata file whose data files are all there")
    return None


def _metadata_files(tier: ColdTier, layer: Layer) -> list[str]:
    location = f"{tier.settings.warehouse}/{layer.namespace}/{layer.table}/metadata"
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    with reading_archive(layer):
        filesystem = PyArrowFileIO(_properties(tier)).fs_by_scheme(scheme, netloc)
        found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return [f"{location}/{one.base_name}" for one in found if _METADATA.match(one.base_name)]


def _properties(tier: ColdTier) -> dict[str, Any]:
    return {
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
        **tier.settings.s3_properties(),
    }


def _number(path: str) -> int:
    match = _METADATA.search(path)
    return int(match[1]) if match else -1
