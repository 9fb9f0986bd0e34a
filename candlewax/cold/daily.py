"""Work of the cold tier at its start and once a day."""

import logging
from collections.abc import Callable
from typing import Final

from candlewax.clickhouse.retention import remove_ttl
from candlewax.cold import metrics
from candlewax.cold.archive_kind import claim_archive
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.recover import lost_tables
from candlewax.cold.release import Releaser
from candlewax.cold.seal import make_manifest
from candlewax.cold.signature import KeyFileError
from candlewax.cold.tier import ColdTier
from candlewax.cold.verify import verify

_log: Final = logging.getLogger("candlewax")


def prepare(tier: ColdTier) -> None:
    """Prepare database and archive for the first round: tables, indexes, no TTL, views.

    Raises ArchiveError if the catalog has lost tables whose files are there: made anew, these files
    would count as orphans. Raises it too if the archive holds another kind of data.
    """
    claim_archive(tier)
    if lost := lost_tables(tier):
        raise ArchiveError(
            f"the catalog does not know {', '.join(lost)}, whose files are in the archive; "
            "candlewax cold recover registers them"
        )
    tier.offloader.prepare()
    _keep_by_archive(tier)
    tier.views.refresh_all()


def _keep_by_archive(tier: ColdTier) -> None:
    """Remove the TTL of the tables. A process that knows of no archive may have set it again."""
    for table in remove_ttl(tier.database):
        _log.info("%s: nothing is dropped by age any more, only what is archived", table)


def run_daily(
    tier: ColdTier,
    should_stop: Callable[[], bool] = lambda: False,
    on_result: Callable[[str], object] = _log.info,
) -> int:
    """Merge, expire and sweep; seal; release; compare. Return the number of errors.

    `on_result` gets a line of what each did. Errors are logged.
    """
    now = tier.warm.now()
    _keep_by_archive(tier)
    report = maintain(tier, now, should_stop=should_stop)
    errors = list(report.errors)
    on_result(report.text("were"))
    tier.views.refresh_all()
    if should_stop():
        return len(errors)
    try:
        if made := make_manifest(tier, now):
            on_result(f"manifest {made.name}: {made.units:,} units, SHA-256 {made.sha256}")
    except (ArchiveError, KeyFileError) as error:
        errors.append(str(error))
    if should_stop():
        return len(errors)
    release = Releaser(tier).run(now)
    on_result(
        f"{len(release.released):,} partitions released, {len(release.held):,} held, which have "
        f"{release.held_bytes / 1e6:,.1f} MB"
    )
    metrics.set_held(
        {
            layer.source: sum(one.bytes for one in release.held if one.layer == layer.name)
            for layer in LAYERS.values()
            if layer.can_leave
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
