"""Removal of orphans: files that no snapshot, statistics or metadata log of a table reaches.

A writer that ends between file and commit leaves them, as do expired snapshots and old metadata
files. A file younger than 24 hours by the clock of its store may belong to a commit under way, and
stays.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from pyarrow.fs import FileSelector, FileType
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from candlewax.cold import store
from candlewax.cold.layers import Layer
from candlewax.cold.maintenance.pinned import pinned_metadata
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier

MIN_AGE: Final = timedelta(hours=24)
"""Younger files are never removed."""


class StoredFile(NamedTuple):
    """A file in the store, by its path there, with its size in bytes."""

    path: str
    size: int
    modified: datetime


def find_orphans(
    tier: ColdTier, layer: Layer, now: datetime, pinned: Iterable[str] = ()
) -> list[StoredFile]:
    """Return the orphans of a layer's table that are old enough to be removed.

    `pinned` are the metadata files that views name, as paths within their tables. Raises
    ArchiveError if not everything that is reachable can be read.
    """
    # What is committed after the listing is not among the listed files, so it cannot be removed.
    files = list_files(tier.warehouse.load(layer))
    table = tier.warehouse.load(layer)
    reachable = reachable_paths(table, pinned)
    if files and not any(file.path in reachable for file in files):
        raise ArchiveError(
            f"{table.location()}: of its files none is reachable, so none is removed: are its "
            "paths named in another way?"
        )
    return [file for file in files if file.path not in reachable and file.modified <= now - MIN_AGE]


def remove_files(tier: ColdTier, layer: Layer, files: Iterable[StoredFile]) -> None:
    """Remove files of a layer's table. One that is gone already is no error."""
    table = tier.warehouse.load(layer)
    filesystem = store.folder_of(table.io, table.location()).filesystem
    for file in files:
        try:
            filesystem.delete_file(file.path)
        except FileNotFoundError:
            continue


def list_files(table: Table) -> list[StoredFile]:
    """Return all files below the location of a table."""
    filesystem, path = store.folder_of(table.io, table.location())
    found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return [
        StoredFile(one.path, one.size, datetime.fromtimestamp(one.mtime_ns / 1e9, UTC))
        for one in found
        if one.type == FileType.File
    ]


def reachable_paths(table: Table, pinned: Iterable[str] = ()) -> set[str]:
    """Return the paths of all files that a table needs. Raises ArchiveError."""
    metadata = table.metadata
    read_by_views = pinned_metadata(table, pinned)
    locations = {table.metadata_location, *read_by_views}
    locations |= {entry.metadata_file for entry in metadata.metadata_log}
    locations |= {one.statistics_path for one in metadata.statistics}
    locations |= {one.statistics_path for one in metadata.partition_statistics}
    manifests: dict[str, ManifestFile] = {}
    try:
        for one in (metadata, *read_by_views.values()):
            locations |= _snapshot_locations(table, one, manifests)
        for manifest in manifests.values():
            entries = manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            locations |= {entry.data_file.file_path for entry in entries}
    except (OSError, ValueError, EOFError) as error:
        raise ArchiveError(
            f"{table.location()}: its metadata cannot be read, so no file is removed: {error}"
        ) from error
    return {store.path_of(location) for location in locations}


def _snapshot_locations(
    table: Table, metadata: TableMetadata, manifests: dict[str, ManifestFile]
) -> set[str]:
    """Return the manifest lists and manifests of all snapshots. Add the latter to `manifests`."""
    locations = set()
    for snapshot in metadata.snapshots:
        if metadata is not table.metadata and snapshot.snapshot_id != metadata.current_snapshot_id:
            # Views read the current snapshot of the file that they name. Others are expired.
            continue
        locations.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            manifests[manifest.manifest_path] = manifest
            locations.add(manifest.manifest_path)
    return locations
