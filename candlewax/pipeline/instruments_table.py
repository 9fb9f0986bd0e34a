"""Table `instruments`: the markets of the instruments file and what it tells of them."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database, connect
from candlewax.core.instruments import FileContent
from candlewax.core.schema import TIME, Columns
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.subscriptions import record_subscriptions
from candlewax.runtime.clocks import wall_clock
from candlewax.runtime.settings import Settings

AMOUNT: Final = pl.Decimal(38, 12)

INSTRUMENTS: Final[Columns] = {
    "exchange": pl.String,
    "native_symbol": pl.String,
    "symbol": pl.String,
    "base": pl.String,
    "quote": pl.String,
    "kind": pl.String,
    "contract_size": AMOUNT,
    "contract_unit": pl.String,
    "tick": AMOUNT,
    "status": pl.String,
    "known_at": TIME,
}
"""Rows of `instruments`."""

_STORED: Final = """
SELECT toString(exchange) AS exchange, native_symbol, toString(symbol) AS symbol,
    toString(base) AS base, toString(quote) AS quote, toString(kind) AS kind, contract_size,
    toString(contract_unit) AS contract_unit, tick, toString(status) AS status
FROM instruments FINAL
"""


def store_instruments(
    content: FileContent, database: Database, now_us: Callable[[], int] = wall_clock
) -> None:
    """Store the markets of the file that are new, or of which it tells something else."""
    facts = [
        (
            exchange,
            native_symbol,
            market.symbol,
            market.base,
            market.quote,
            market.kind.value,
            market.facts.contract_size,
            market.facts.contract_unit or "",
            market.facts.tick,
            market.facts.status.value if market.facts.status else "unknown",
        )
        for exchange, symbols in content.listed.items()
        for native_symbol, market in symbols.items()
    ]
    stored = set(database.query(_STORED).iter_rows())
    at = now_us()
    rows = [(*row, at) for row in facts if row not in stored]
    if rows:
        frame = pl.DataFrame(rows, {**INSTRUMENTS, "known_at": pl.Int64}, orient="row")
        table = frame.cast(INSTRUMENTS).to_arrow()  # type: ignore[arg-type]  # names to types
        database.with_retries(lambda: database.insert("instruments", table, f"instruments-{at}"))


def record_markets(settings: Settings, process: ProcessContext, database: Database) -> None:
    """Store which markets this process knows and asks for, now and after each change of the file.

    After a change a connection of its own is used, as another thread stores.
    """
    record_subscriptions(process, database)
    store_instruments(process.instruments.content, database)
    process.instrument_followers.append(partial(_record_again, settings, process))


def _record_again(settings: Settings, process: ProcessContext) -> None:
    with closing(connect(settings.clickhouse, settings.database)) as database:
        record_subscriptions(process, database)
        store_instruments(process.instruments.content, database)
