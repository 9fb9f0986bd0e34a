"""Entries of a manifest: tables, units and files that are not sealed as they are."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from candlewax.cold import manifest, parquet_files
from candlewax.cold.layers import LAYERS
from candlewax.cold.manifest import Manifest, UnitKey
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import NOTHING, Unit

CHUNK_BYTES: Final = 4 << 20

Sealed = Mapping[UnitKey, tuple[str, int, tuple[str, ...]]]
"""Content, rows and files of the latest entry of each unit."""


class Entries(NamedTuple):
    """Parts of a manifest: tables by layer, units, and their files."""

    tables: dict[str, dict[str, Any]]
    units: list[dict[str, Any]]
    files: list[dict[str, Any]]


def latest(chain: Iterable[Manifest]) -> Sealed:
    """Return what the latest entry of each unit says."""
    return {
        key: (unit["content"], unit["rows"], tuple(unit["files"]))
        for one in chain
        for key, unit in one.units()
    }


class Places:
    """Paths of files as manifests hold them: below the warehouse, or whole addresses elsewhere."""

    def __init__(self, tier: ColdTier) -> None:
        self._prefix = f"{tier.settings.warehouse}/"
        self._locations = {
            name: tier.warehouse.load(layer).location() for name, layer in LAYERS.items()
        }

    def relative(self, location: str) -> str:
        """Return the path of an address."""
        return location.removeprefix(self._prefix)

    def of_unit(self, state: UnitState) -> tuple[str, ...]:
        """Return the paths of the files of a unit."""
        location = self._locations[state.unit.layer]
        return tuple(self.relative(f"{location}/{path}") for path in state.files)


def is_sealed(places: Places, state: UnitState, sealed: Sealed) -> bool:
    """Return True if a unit is sealed with this content and these files, or has no row."""
    found = sealed.get(key_of(state.unit), (NOTHING.content, 0, ()))
    return found == (state.measure.content, state.measure.rows, places.of_unit(state))


def new_entries(
    tier: ColdTier,
    places: Places,
    states: Iterable[UnitState],
    sealed: Sealed,
    on_progress: Callable[[str], object],
) -> Entries:
    """Return the entries of verified units that are not sealed as they are.

    A unit that another process changes just now is left out: it will be verified, and sealed the
    next time. Raises ArchiveError if a file cannot be read.
    """
    entries = Entries({}, [], [])
    verified = (state for state in states if state.is_verified)
    in_order = sorted(verified, key=lambda state: state.unit)
    for name, group in groupby(in_order, key=lambda state: state.unit.layer):
        chosen = [state for state in group if not is_sealed(places, state, sealed)]
        if chosen:
            table = tier.warehouse.load(LAYERS[name])
            files = tier.warehouse.data_files(table)
            live = {file.file_path: file for file in files}
            _add(table, live, places, chosen, entries, on_progress)
    return entries


def _add(
    table: Table,
    live: Mapping[str, DataFile],
    places: Places,
    states: Iterable[UnitState],
    entries: Entries,
    on_progress: Callable[[str], object],
) -> None:
    """Add the entries of one layer."""
    used: dict[str, DataFile] = {}
    units = []
    for state in states:
        paths = [f"{table.location()}/{path}" for path in state.files]
        if not all(
            path in live
            and parquet_files.read_units(table.io, path).get(state.unit) == state.measure
            for path in paths
        ):
            continue
        used |= {path: live[path] for path in paths}
        units.append(_unit_entry(state, list(places.of_unit(state))))
    if not units:
        return
    entries.units.extend(units)
    entries.tables[units[0]["layer"]] = _table_entry(places, table)
    for path in sorted(used):
        on_progress(path)
        entries.files.append(_file_entry(places, table, used[path]))


def key_of(unit: Unit) -> UnitKey:
    """Return a unit as manifests name it."""
    return UnitKey(unit.layer, unit.exchange, manifest.format_time(unit.begin))


def _unit_entry(state: UnitState, paths: list[str]) -> dict[str, Any]:
    return {
        **key_of(state.unit)._asdict(),
        "end": manifest.format_time(state.unit.end),
        "rows": state.measure.rows,
        "content": state.measure.content,
        "settled": state.settled,
        "files": paths,
    }


def _table_entry(places: Places, table: Table) -> dict[str, Any]:
    snapshot = table.current_snapshot()
    return {
        "uuid": str(table.metadata.table_uuid),
        "location": places.relative(table.location()),
        # Numbers above 2^53 do not survive in every reader of JSON.
        "snapshot": str(snapshot.snapshot_id) if snapshot else "",
        "metadata": places.relative(table.metadata_location),
    }


def _file_entry(places: Places, table: Table, file: DataFile) -> dict[str, Any]:
    size, digest = _hash(table, file.file_path)
    return {
        "path": places.relative(file.file_path),
        "size": size,
        "sha256": digest,
        "rows": file.record_count,
        "units": [
            {
                "exchange": unit.exchange,
                "begin": manifest.format_time(unit.begin),
                "rows": measure.rows,
                "content": measure.content,
            }
            for unit, measure in parquet_files.read_units(table.io, file.file_path).items()
        ],
    }


def _hash(table: Table, path: str) -> tuple[int, str]:
    """Return the size and the SHA-256 of a file."""
    digest = hashlib.sha256()
    size = 0
    try:
        with table.io.new_input(path).open() as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error}") from error
    return size, digest.hexdigest()
