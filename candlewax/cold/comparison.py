"""Comparison of warm rows with the archive as it is read back, unit by unit."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from candlewax.cold import relations
from candlewax.cold.layers import Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import NOTHING, Measure, Unit
from candlewax.cold.warehouse import units_in
from candlewax.cold.warm import measure


class Sides(NamedTuple):
    """Measures of a unit: by its warm rows, by its file's footer, and as read back."""

    warm: Measure
    footer: Measure
    cold: Measure

    @property
    def is_same(self) -> bool:
        """True if rows and content are the same. Our clocks change if a row is stored again."""
        return (self.warm.rows, self.warm.content) == (self.cold.rows, self.cold.content) and (
            self.cold == self.footer
        )


def compare(
    tier: ColdTier,
    layer: Layer,
    units: Iterable[Unit],
    states: Mapping[Unit, UnitState],
    *,
    is_leaving: bool = False,
) -> dict[Unit, Sides]:
    """Measure units of one layer now, warm and cold.

    `layer.source` is the table with the warm rows. Units that were released count as the same if
    their warm rows are in the archive; so do all with `is_leaving`. Raises ArchiveError.
    """
    chosen = sorted(set(units))
    if not chosen:
        return {}
    with reading_archive(layer):
        table = tier.warehouse.load(layer)
        footers = units_in(table, tier.warehouse.data_files(table, chosen))
        cold = tier.archive.measure(table, chosen)
        merged_rows = tier.archive.merged_rows(layer, table)
    parts = [unit for unit in chosen if is_leaving or (unit in states and states[unit].released)]
    wholes = [unit for unit in chosen if unit not in set(parts)]
    warm: dict[Unit, Measure] = {}
    for group, rows in ((parts, merged_rows), (wholes, relations.warm_rows(layer))):
        if group:
            with reading_archive(layer):
                warm |= measure(tier.database, layer, group, rows)
    return {
        unit: Sides(
            warm.get(unit, NOTHING), footers[unit][0] if unit in footers else NOTHING, cold[unit]
        )
        for unit in chosen
    }


@contextmanager
def reading_archive(layer: Layer) -> Iterator[None]:
    """Turn what the catalog or the store raises into an ArchiveError that names the layer."""
    try:
        yield
    except ArchiveError:
        raise
    # Catalogs and stores raise errors of several libraries, without a common class.
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise ArchiveError(
            f"{layer.name}: the archive cannot be read: {type(error).__name__}: {first_line}"
        ) from error
