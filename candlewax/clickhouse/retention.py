"""Retention of the tables: ClickHouse drops rows by age, by the TTL that the settings ask for.

With a cold tier the tables have no TTL, and rows leave them once they are archived.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import polars as pl
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse import ddl
from candlewax.data import DDL
from candlewax.runtime.keep_settings import (
    DAY,
    SETTING_OF,
    Keep,
    Retention,
    format_keep,
    is_shorter,
)

_CLOCKS: Final = {
    "bronze_frames": "inserted_at",
    "silver_trades": "inserted_at",
    "dead_letters": "inserted_at",
    "ohlcv": "updated_at",
    "ohlcv_revisions": "known_at",
}
"""Column with the time at which a row was stored, by table."""

TABLES: Final = tuple(_CLOCKS)
"""Tables with a retention."""

_RECALCULATES: Final = "materialize_ttl_recalculate_only"
"""Setting of a table whose retention is being changed. With it ClickHouse writes the new times of
parts, and of large ones not the rows. It is removed last, so it shows a change that was cut off."""

_STATE: Final = """
SELECT retention.table AS name, days, toUnixTimestamp64Micro(whole_since) AS whole_since,
    engine_full, ifNull(total_rows, 0) AS rows,
    position(engine_full, {changing:String}) > 0 AS is_changing
FROM retention
JOIN system.tables AS tables ON tables.name = retention.table
WHERE tables.database = currentDatabase()
ORDER BY name
"""

_TABLES_WITH_TTL: Final = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}
    AND position(engine_full, ' TTL ') > 0
ORDER BY name
"""

_TTL: Final = re.compile(r" TTL (.*?)(?: SETTINGS |$)")
_VALUES: Final = re.compile(r"\('bronze_frames', .*\)", re.DOTALL)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_log: Final = logging.getLogger("candlewax")


class Database(Protocol):
    """The part of a database that is used here."""

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """Return the rows of a query."""

    def command(self, sql: str) -> None:
        """Run a statement that returns no rows."""


@dataclass(frozen=True)
class _TableState:
    """Retention of a table as it is; `ttl` is "" without one. No row stored after `whole_since`
    was dropped before its time.
    """

    name: str
    keep: timedelta | None
    whole_since: datetime
    ttl: str
    has_rows: bool
    is_changing: bool


def apply_retention(
    database: Database, retention: Retention, *, is_returning: bool = False
) -> tuple[str, ...]:
    """Make the tables keep rows as the settings say. Return the tables whose TTL was changed.

    The rows of large parts are not rewritten. The view `retention` is replaced first: if the
    process is killed, no row counts as kept that is not, and the next call goes on. A table that
    lost its TTL to a cold tier gets it back only if `is_returning`. A change is logged, a shorter
    time as a warning.
    """
    before = _read_states(database)
    now = datetime.now(UTC)
    after = [_state_after(state, retention.keep[state.name], now) for state in before]
    if any(_row(one) != _row(other) for one, other in zip(before, after, strict=True)):
        _replace_view(database, after)
    if retention.is_cold:
        return ()
    held = set() if is_returning or not _has_archive(database) else set(TABLES)
    changed = []
    for old, new in zip(before, after, strict=True):
        wanted = _ttl(new.name, new.keep)
        if old.ttl == wanted and not old.is_changing:
            continue
        if not old.ttl and old.name in held:
            _log.info(
                "%s: dropped by the cold tier only, since CANDLEWAX_COLD was set; "
                "candlewax cold off changes that",
                old.name,
            )
            continue
        if old.has_rows:
            _log_change(old, new)
        _change_ttl(database, old, wanted)
        changed.append(new.name)
    return tuple(changed)


def remove_ttl(database: Database, tables: Sequence[str] = TABLES) -> tuple[str, ...]:
    """Remove the TTL of tables, so that they keep rows. Return the changed tables."""
    found = database.query(_TABLES_WITH_TTL, {"names": list(tables)})
    names = tuple(map(str, found["name"]))
    for name in names:
        _remove_ttl(database, name)
    return names


def _remove_ttl(database: Database, name: str) -> None:
    try:
        database.command(f"ALTER TABLE {name} REMOVE TTL")
    except ClickHouseError:
        # ClickHouse refuses to remove what another process, started at once, removed before.
        if len(database.query(_TABLES_WITH_TTL, {"names": [name]})):
            raise


def _read_states(database: Database) -> list[_TableState]:
    states = []
    rows = database.query(_STATE, {"changing": f"{_RECALCULATES} = 1"})
    for name, days, whole_since, engine, count, is_changing in rows.rows():
        match = _TTL.search(engine)
        ttl = match[1] if match else ""
        keeps = [timedelta(days=days)] if days else []
        # A TTL from before the settings is shorter than what the new view says.
        keeps += [timedelta(days=int(number)) for number in re.findall(r"\b\d+\b", ttl)]
        since = _EPOCH + timedelta(microseconds=whole_since)
        states.append(
            _TableState(name, min(keeps, default=None), since, ttl, bool(count), bool(is_changing))
        )
    return states


def _state_after(state: _TableState, keep: timedelta | None, now: datetime) -> _TableState:
    whole_since = state.whole_since
    if state.keep is not None and is_shorter(state.keep, keep):
        whole_since = max(whole_since, now - state.keep)
    return replace(state, keep=keep, whole_since=whole_since)


def _row(state: _TableState) -> str:
    micros = (state.whole_since - _EPOCH) // timedelta(microseconds=1)
    days = state.keep // DAY if state.keep else 0
    return f"('{state.name}', {days}, {micros})"


def _replace_view(database: Database, states: Sequence[_TableState]) -> None:
    (path,) = DDL.glob("*_retention.sql")
    (text,) = ddl.split_statements(path.read_text("utf-8"))
    text = text[text.index("CREATE VIEW") :].replace("VIEW IF NOT EXISTS", "OR REPLACE VIEW", 1)
    rows = ", ".join(map(_row, states))
    database.command(_VALUES.sub(lambda _: f"{rows})", text, count=1))


def _ttl(table: str, keep: timedelta | None) -> str:
    """Return the TTL of a table as ClickHouse shows it."""
    return f"toDateTime({_CLOCKS[table]}) + toIntervalDay({keep // DAY})" if keep else ""


def _change_ttl(database: Database, old: _TableState, ttl: str) -> None:
    alter = f"ALTER TABLE {old.name}"
    if ttl:
        database.command(f"{alter} MODIFY SETTING {_RECALCULATES} = 1")
        database.command(f"{alter} MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0")
        # Parts hold the times at which they are dropped, which are those of the TTL before.
        database.command(f"{alter} MATERIALIZE TTL SETTINGS mutations_sync = 1")
    elif old.ttl:
        _remove_ttl(database, old.name)
    if ttl or old.is_changing:
        database.command(f"{alter} RESET SETTING {_RECALCULATES}")


def _has_archive(database: Database) -> bool:
    return bool(database.query("SELECT count() > 0 AS known FROM cold_units").item())


def _log_change(old: _TableState, new: _TableState) -> None:
    setting = f"{SETTING_OF[new.name]}={format_keep(new.keep)}"
    if is_shorter(new.keep, old.keep):
        _log.warning(
            "%s: %s kept rows %s before; rows stored more than %s ago are dropped from now on",
            setting, new.name, _how_long(old.keep), format_keep(new.keep),
        )  # fmt: skip
    else:
        _log.info("%s: %s kept rows %s before", setting, new.name, _how_long(old.keep))


def _how_long(keep: timedelta | None) -> str:
    return "for ever" if keep is None else f"for {format_keep(keep)}"


def read_keep(database: Database) -> Keep:
    """Return the retention that was last applied."""
    rows = database.query("SELECT table, days FROM retention").rows()
    return {name: timedelta(days=days) if days else None for name, days in rows}
