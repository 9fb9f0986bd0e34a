"""Work of the cold tier at its start, after each offload, and once a day."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from candlewax.cold import metrics, views
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.recover import lost_tables
from candlewax.cold.release import Releaser
from candlewax.cold.retention import remove_ttl
from candlewax.cold.seal import make_manifest
from candlewax.cold.signature import KeyFileError
from candlewax.cold.tier import ColdTier
from candlewax.cold.units import Measure, Unit
from candlewax.cold.verify import verify

_log: Final = logging.getLogger("candlewax")


def prepare(tier: ColdTier) -> None:
    """Prepare database and archive for the first round: tables, indexes, no TTL, views.

    Raises ArchiveError if the catalog has lost tables whose files are there: made anew, these files
    would count as orphans.
    """
    if lost := lost_tables(tier):
        raise ArchiveError(
            f"the catalog does not know {', '.join(lost)}, whose files are in the archive; "
            "candlewax cold recover registers them"
        )
    tier.offloader.prepare()
    for table in remove_ttl(tier.database):
        _log.info("%s: nothing is dropped by age any more, only what is archived", table)
    views.refresh_all(tier)


def follow(tier: ColdTier, written: Mapping[Unit, Measure]) -> None:
    """Count units that were written and verified, and show them in the views."""
    metrics.count_written(written)
    for name in {unit.layer for unit in written}:
        views.refresh(tier, LAYERS[name])


def run_daily(tier: ColdTier, should_stop: Callable[[], bool] = lambda: False) -> int:
    """Merge, expire and sweep; seal; release; compare. Return the number of errors."""
    now = tier.warm.now()
    report = maintain(tier, now, should_stop=should_stop)
    errors = list(report.errors)
    views.refresh_all(tier)
    if should_stop():
        return len(errors)
    try:
        if made := make_manifest(tier, now):
            _log.info("manifest %s: %d units, SHA-256 %s", made.name, made.units, made.sha256)
    except (ArchiveError, KeyFileError) as error:
        errors.append(str(error))
    if should_stop():
        return len(errors)
    release = Releaser(tier).run(now)
    metrics.set_held(
        {
            layer.source: sum(one.bytes for one in release.held if one.layer == layer.name)
            for layer in LAYERS.values()
            if layer.keep
        }
    )
    if should_stop():
        return len(errors)
    found = verify(tier)
    metrics.set_mismatches(len(found.differing))
    errors += [f"{name}: warm and cold differ" for name in found.differing]
    errors += found.unreadable
    for text in errors:
        _log.error("cold tier: %s", text)
    return len(errors)
