"""Expiry of snapshots that no reader needs any more."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table
from sqlalchemy.exc import OperationalError

from candlewax.cold.layers import Layer
from candlewax.cold.maintenance.pinned import pinned_metadata
from candlewax.cold.tier import ColdTier
from candlewax.cold.warehouse import ConflictError

KEEP: Final = timedelta(days=7)
"""Each snapshot is kept this long after the next one replaced it."""


def expired_snapshots(table: Table, now: datetime, pinned: Iterable[str] = ()) -> list[int]:
    """Return the snapshots that were replaced more than 7 days ago, and that no view reads.

    A snapshot made long ago and replaced just now is kept: somebody may be reading it. `pinned`
    are the metadata files that views name, as paths within their tables.
    """
    in_order = sorted(table.metadata.snapshots, key=lambda one: one.sequence_number or 0)
    replaced_before = int((now - KEEP).timestamp() * 1000)
    old = [
        one.snapshot_id for one, next_ in pairwise(in_order) if next_.timestamp_ms < replaced_before
    ]
    kept = {reference.snapshot_id for reference in table.metadata.refs.values()}
    if set(old) - kept:
        kept |= {
            metadata.current_snapshot_id
            for metadata in pinned_metadata(table, pinned).values()
            if metadata.current_snapshot_id is not None
        }
    return [one for one in old if one not in kept]


def expire(tier: ColdTier, layer: Layer, now: datetime, pinned: Iterable[str] = ()) -> int:
    """Expire snapshots of a layer in one commit. Return how many.

    Their files stay until the sweep of orphans. Raises ConflictError if another process commits
    meanwhile.
    """
    table = tier.warehouse.load(layer)
    found = expired_snapshots(table, now, pinned)
    if not found:
        return 0
    try:
        table.maintenance.expire_snapshots().by_ids(found).commit()
    except (CommitFailedException, CommitStateUnknownException, OperationalError) as error:
        raise ConflictError(f"{layer.name}: no snapshot expired: {error}") from error
    return len(found)
