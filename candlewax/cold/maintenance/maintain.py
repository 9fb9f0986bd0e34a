"""Daily maintenance: correction of `cold_units`, compaction, expiry of snapshots, orphans."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.maintenance.compact import compact, find_merges
from candlewax.cold.maintenance.correct import correct, find_outdated
from candlewax.cold.maintenance.expire import expire, expired_snapshots
from candlewax.cold.maintenance.orphans import find_orphans, remove_files
from candlewax.cold.maintenance.pinned import pinned_names
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.warehouse import ConflictError

_log: Final = logging.getLogger(__name__)

Progress = Callable[[str], object]
"""Receiver of one line before each piece of work."""


@dataclass(frozen=True)
class MaintenanceReport:
    """Counts of one maintenance; of a dry run, what it would have done.

    `corrected` counts units that were remembered wrongly. `left` counts merges that another process
    forestalled. `bytes_after` is that of the merged files, and 0 in a dry run. `errors` name what
    could not be done.
    """

    corrected: int = 0
    merges: int = 0
    left: int = 0
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    snapshots: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    errors: tuple[str, ...] = ()

    def text(self, verb: str) -> str:
        """Return the counts as a line; `verb` is `were`, or `would be` for a dry run."""
        return (
            f"{self.files_before:,} files {verb} merged into {self.files_after:,}, "
            f"{self.snapshots:,} snapshots {verb} expired, {self.orphans:,} orphans of "
            f"{self.orphan_bytes / 1e6:,.1f} MB {verb} removed"
        )

    def __add__(self, other: "MaintenanceReport") -> "MaintenanceReport":
        return MaintenanceReport(
            self.corrected + other.corrected,
            self.merges + other.merges,
            self.left + other.left,
            self.files_before + other.files_before,
            self.files_after + other.files_after,
            self.bytes_before + other.bytes_before,
            self.bytes_after + other.bytes_after,
            self.snapshots + other.snapshots,
            self.orphans + other.orphans,
            self.orphan_bytes + other.orphan_bytes,
            self.errors + other.errors,
        )


def maintain(
    tier: ColdTier,
    now: datetime,
    *,
    dry_run: bool = False,
    layers: Iterable[Layer] = tuple(LAYERS.values()),
    on_progress: Progress = lambda _: None,
    on_step: Callable[[int, int], object] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> MaintenanceReport:
    """Correct, compact, expire and sweep all layers.

    A dry run changes nothing and tells each piece of work. `on_step` gets the number of steps
    done, and of all.
    What fails in one layer is named in the report and keeps no other from its maintenance.
    """
    order = _Order(tier, now, dry_run, on_progress, should_stop)
    report = MaintenanceReport()
    chosen = tuple(layers)
    for place, layer in enumerate(chosen):
        for number, step in enumerate(_STEPS):
            on_step(place * len(_STEPS) + number, len(chosen) * len(_STEPS))
            if should_stop():
                return report
            try:
                report += step(order, layer)
            except (ArchiveError, ConflictError) as error:
                report += MaintenanceReport(errors=(str(error),))
            except Exception as error:  # noqa: BLE001
                # The libraries raise many kinds for damaged metadata and for a store that is away.
                _log.exception("%s: maintenance failed", layer.name)
                text = f"{layer.name}: {type(error).__name__}: {error}"
                report += MaintenanceReport(errors=(text,))
    return report


@dataclass(frozen=True)
class _Order:
    """Maintenance to be done: of which archive, as of when, and whether anything may change."""

    tier: ColdTier
    now: datetime
    dry_run: bool
    on_progress: Progress
    should_stop: Callable[[], bool]

    @cached_property
    def pinned(self) -> frozenset[str]:
        """Metadata files that views name, read once: it takes 40 ms.

        What a view names later is younger than all that expires or is swept.
        """
        return pinned_names(self.tier.database)


_Step = Callable[[_Order, Layer], MaintenanceReport]


def _correct(order: _Order, layer: Layer) -> MaintenanceReport:
    outdated = find_outdated(order.tier, layer, order.now)
    for state in outdated:
        order.on_progress(f"{state.unit}: remembered as {state.state}, is read back")
    return MaintenanceReport(
        corrected=len(outdated) if order.dry_run else correct(order.tier, layer, outdated)
    )


def _compact(order: _Order, layer: Layer) -> MaintenanceReport:
    merges = find_merges(order.tier, layer, order.now)
    if order.dry_run:
        for merge in merges:
            order.on_progress(str(merge))
        return MaintenanceReport(
            merges=len(merges),
            files_before=sum(len(one.old) for one in merges),
            files_after=sum(len(one.parts) for one in merges),
            bytes_before=sum(one.bytes for one in merges),
        )
    done, left, errors = compact(order.tier, merges, order.on_progress, order.should_stop)
    return MaintenanceReport(
        merges=len(done),
        left=left,
        files_before=sum(len(one.merge.old) for one in done),
        files_after=sum(len(one.merge.parts) for one in done),
        bytes_before=sum(one.merge.bytes for one in done),
        bytes_after=sum(one.bytes for one in done),
        errors=tuple(errors),
    )


def _expire(order: _Order, layer: Layer) -> MaintenanceReport:
    found = expired_snapshots(order.tier.warehouse.load(layer), order.now, order.pinned)
    if not found:
        return MaintenanceReport()
    order.on_progress(f"{layer.name}: {len(found)} snapshots expire")
    if order.dry_run:
        return MaintenanceReport(snapshots=len(found))
    return MaintenanceReport(snapshots=expire(order.tier, layer, order.now, order.pinned))


def _sweep(order: _Order, layer: Layer) -> MaintenanceReport:
    orphans = find_orphans(order.tier, layer, order.now, order.pinned)
    for orphan in orphans:
        order.on_progress(
            f"{orphan.path}: orphan of {orphan.size:,} bytes, {orphan.modified:%F %H:%M}"
        )
    if not order.dry_run:
        remove_files(order.tier, layer, orphans)
    return MaintenanceReport(
        orphans=len(orphans), orphan_bytes=sum(orphan.size for orphan in orphans)
    )


_STEPS: Final[tuple[_Step, ...]] = (_correct, _compact, _expire, _sweep)
