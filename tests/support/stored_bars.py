"""Databases with bars of one market on two days."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from candlewax.clickhouse.bar_table import BarTable
from candlewax.clickhouse.client import Database, open_tables
from candlewax.core.bars.rules import parse_rules
from tests.support import bar_oracle
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.stored_trades import store

MARKET = {"exchange": "binance", "symbol": "BTC/USDT"}
STEP_US = 10_000_000


def time_us(number: int) -> int:
    """The time of a trade: two share each, and those from the 19th on are of the next day."""
    return DAY + (number > 18) * bar_oracle.DAY_US + number // 2 * STEP_US


def fill_of(number: int, symbol: str = "BTC/USDT") -> Fill:
    """A trade from the first on; five numbers are missing before the 26th."""
    sequence = number + 5 * (number > 25)
    return Fill(
        "binance", symbol, str(sequence), sequence, time_us(number), number % 3 == 0,
        Decimal(100 + number) + Decimal("0.1"), Decimal(number % 5) + Decimal("0.000000000001"),
        asked_for=number == 7,
    )  # fmt: skip


FILLS = [fill_of(number) for number in range(1, 31)]
RULES = parse_rules(["tick 1", "tick 4", "volume 7.5", "dollar 900"])


@contextmanager
def bar_tables(engine: Database, engine_path: Path, name: str) -> Iterator[Database]:
    """A database with the bars of FILLS, and a market without bars; it is dropped at the end."""
    tables = open_tables(engine_path, name)
    store(tables, [*FILLS, fill_of(1, "ETH/USDT")])
    BarTable(tables).refresh(MARKET["exchange"], MARKET["symbol"], RULES)
    yield tables
    tables.close()
    engine.client.command(f"DROP DATABASE {name} SYNC")
