"""Table `instruments`: what the file tells of markets, for SQL."""

from decimal import Decimal
from functools import partial

from candlewax.clickhouse.client import Database
from candlewax.core.instruments import FileContent, Instrument
from candlewax.core.market_facts import MarketFacts
from candlewax.exchanges.protocol.markets import MarketStatus
from candlewax.pipeline.instruments_table import store_instruments

SPOT = Instrument("BTC/USDT", "BTC", "USDT")
PERPETUAL = Instrument(
    "BTC/USD:BTC", "BTC", "USD",
    MarketFacts(Decimal(100), "USD", Decimal("0.1"), MarketStatus.TRADING),
)  # fmt: skip


def stored(tables: Database, columns: str) -> list[tuple[object, ...]]:
    """Return columns of the table, in order."""
    query = f"SELECT {columns} FROM instruments FINAL ORDER BY native_symbol"
    return list(tables.query(query).iter_rows())


def test_contracts_and_unknown_facts_are_told_apart(tables: Database) -> None:
    """A market whose quantities are in the base has no contract size."""
    content = FileContent({"kraken": {"A": SPOT, "B": PERPETUAL}})
    store_instruments(content, tables, lambda: 1)
    assert stored(
        tables,
        "exchange, native_symbol, symbol, base, quote, toString(kind), contract_size, "
        "contract_unit, tick, toString(status)",
    ) == [
        ("kraken", "A", "BTC/USDT", "BTC", "USDT", "spot", None, "", None, "unknown"),
        ("kraken", "B", "BTC/USD:BTC", "BTC", "USD", "perpetual", Decimal(100), "USD",
         Decimal("0.1"), "trading"),
    ]  # fmt: skip


def test_only_changes_are_stored_and_dropped_markets_stay(tables: Database) -> None:
    """Trades of a dropped market are read with the contract size that it had."""
    store_instruments(FileContent({"kraken": {"A": SPOT, "B": PERPETUAL}}), tables, lambda: 1)
    delisted = Instrument("BTC/USDT", "BTC", "USDT", MarketFacts(status=MarketStatus.DELISTED))
    for now_us in (2, 3):
        store_instruments(FileContent({"kraken": {"A": delisted}}), tables, partial(int, now_us))
    assert stored(tables, "native_symbol, toString(status), toUnixTimestamp64Micro(known_at)") == [
        ("A", "delisted", 2),
        ("B", "trading", 1),
    ]
