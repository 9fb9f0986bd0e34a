"""Snapshot that replaces files, and keeps the list of manifests short.

PyIceberg carries each manifest that only names deleted files on for ever, and never merges the
others. As each commit opens all of them, a table that is swapped each hour would become slower by
the day.
"""

from typing import Final

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _ManifestMergeManager, _OverwriteFiles

TARGET_BYTES: Final = 8 << 20
"""Size up to which manifests are merged."""

MERGED_FROM: Final = 100
"""Number of manifests from which on they are merged."""


class Changes(Transaction):
    """Transaction that derives its metadata once for each change.

    PyIceberg derives them whenever it reads them, and copies all snapshots to do so: 13 times a
    commit.
    """

    def __init__(self, table: Table) -> None:
        super().__init__(table)
        self._base = table.metadata
        self._applied = self._updates
        self._derived = super().table_metadata

    @property
    def table_metadata(self) -> TableMetadata:
        """Metadata of the table with all changes so far."""
        if self._base is not self._table.metadata or self._applied is not self._updates:
            self._base, self._applied = self._table.metadata, self._updates
            self._derived = super().table_metadata
        return self._derived


class Overwrite(_OverwriteFiles):
    """Snapshot that takes files out and puts others in."""

    def __init__(self, transaction: Transaction, properties: dict[str, str]) -> None:
        is_first = transaction.table_metadata.current_snapshot() is None
        super().__init__(
            operation=Operation.APPEND if is_first else Operation.OVERWRITE,
            transaction=transaction,
            io=transaction._table.io,  # noqa: SLF001
            snapshot_properties=properties,
        )

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        """Return the manifests of the snapshot: those with files, and what it deletes itself."""
        needed = [
            manifest
            for manifest in manifests
            if manifest.has_added_files()
            or manifest.has_existing_files()
            or manifest.added_snapshot_id in (None, self._snapshot_id)
        ]
        merge: _ManifestMergeManager[_OverwriteFiles] = _ManifestMergeManager(
            TARGET_BYTES, MERGED_FROM, merge_enabled=True, snapshot_producer=self
        )
        return merge.merge_manifests(needed)
