"""Rows that differ between a warm unit and the archive, with their fields."""

from collections.abc import Mapping
from typing import Any

from candlewax.cold import relations
from candlewax.cold.comparison import reading_archive
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import Unit


def find_rows(
    tier: ColdTier, unit: Unit, states: Mapping[Unit, UnitState], limit: int
) -> list[dict[str, Any]]:
    """Return at most `limit` rows of a unit that differ.

    Each is a mapping of `unit`, `problem` (`missing` or `surplus` in the archive, or `differs`),
    `key`, and `fields` with the texts of both sides where they differ. Raises ArchiveError.
    """
    if limit <= 0:
        return []
    layer = LAYERS[unit.layer]
    is_released = unit in states and states[unit].released
    with reading_archive(layer):
        table = tier.warehouse.load(layer)
        cold = tier.archive.rows(layer, table)
        warm = tier.archive.merged_rows(layer, table) if is_released else relations.warm_rows(layer)
        parameters = relations.parameters([unit])
        found = tier.database.query(_keys_sql(layer, warm, cold, limit), parameters)
        keys = {**parameters, "keys": found["place"].to_list()}
        sides = [
            {
                place: dict(zip(layer.column_names, texts, strict=True))
                for place, texts in tier.database.query(_texts_sql(layer, rows), keys).iter_rows()
            }
            for rows in (warm, cold)
        ]
    return [_describe(unit, *(side.get(place) for side in sides)) for place in found["place"]]


def _describe(
    unit: Unit, warm: Mapping[str, str] | None, cold: Mapping[str, str] | None
) -> dict[str, Any]:
    layer = LAYERS[unit.layer]
    known = warm or cold or {}
    key = {name: known.get(name, "") for name in layer.key}
    if warm is None or cold is None:
        problem = "surplus" if warm is None else "missing"
        return {"unit": str(unit), "problem": problem, "key": key, "fields": {}}
    fields = {
        name: {"warm": text, "cold": cold[name]}
        for name, text in warm.items()
        if text != cold[name] and name not in layer.clocks
    }
    return {"unit": str(unit), "problem": "differs", "key": key, "fields": fields}


def _place(layer: Layer) -> str:
    return f"hex(sipHash128({', '.join(layer.key)}))"


def _keys_sql(layer: Layer, warm: str, cold: str, limit: int) -> str:
    """Return the statement that finds rows that one side lacks, or that are not the same."""
    low, high = relations.content_hashes(layer)
    columns = f"{_place(layer)} AS place, {low} AS content_low, {high} AS content_high"
    return (
        f"SELECT place FROM (SELECT {columns}, 1 AS tier FROM ({warm}) "
        f"UNION ALL SELECT {columns}, 2 AS tier FROM ({cold})) GROUP BY place "
        "HAVING countIf(tier = 1) != countIf(tier = 2) "
        "OR (sumIf(content_low, tier = 1), sumIf(content_high, tier = 1)) "
        "!= (sumIf(content_low, tier = 2), sumIf(content_high, tier = 2)) "
        f"ORDER BY place LIMIT {limit}"
    )


def _texts_sql(layer: Layer, rows: str) -> str:
    texts = ", ".join(
        f"toValidUTF8(ifNull(toString({name}), 'NULL'))" for name in layer.column_names
    )
    return (
        f"SELECT {_place(layer)} AS place, [{texts}] AS texts FROM ({rows}) "
        "WHERE place IN {keys:Array(String)}"
    )
