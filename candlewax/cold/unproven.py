"""Units that were verified and can no longer be read back: they count as committed only.

So they are neither sealed nor released, and the next offload reads them back and, if their rows are
warm, writes them again.
"""

from collections.abc import Iterable, Mapping

from candlewax.cold.comparison import reading_archive
from candlewax.cold.layers import Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import COMMITTED, UnitState
from candlewax.cold.units import EPOCH, Unit


def find_unreadable(tier: ColdTier, layer: Layer, units: Iterable[Unit]) -> set[Unit]:
    """Return the units that ClickHouse cannot read back; none if it cannot reach the archive."""
    try:
        with reading_archive(layer):
            table = tier.warehouse.load(layer)
            # Rows of no exchange: this reads metadata only.
            tier.archive.measure(table, [Unit(layer.name, "", EPOCH)])
    except ArchiveError:
        return set()
    found = set()
    for unit in units:
        try:
            with reading_archive(layer):
                tier.archive.measure(table, [unit])
        except ArchiveError:
            found.add(unit)
    return found


def remember_unproven(
    tier: ColdTier, layer: Layer, units: Iterable[Unit], states: Mapping[Unit, UnitState]
) -> None:
    """Store units as committed only, unless another process changed them since `states`."""
    now_known = tier.unit_table.states(layer)
    tier.unit_table.store(
        states[unit].advance(COMMITTED)
        for unit in units
        if unit in states and states[unit].is_verified and now_known.get(unit) == states[unit]
    )
