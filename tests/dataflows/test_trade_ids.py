"""Trades without numbers are stored once, however long ago the first delivery was."""

from dataclasses import replace
from decimal import Decimal

import pytest

from candlewax.clickhouse.client import Database
from candlewax.verification.verify import check_totals, verify
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.playing import kraken_v1, play, received

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=3)

SECOND = 1_000_000
LATER = DAY + 5 * 86_400 * SECOND


def test_trade_is_a_duplicate_after_its_id_has_expired(tables: Database) -> None:
    """Ids older than a day are looked up in the tables."""
    trade = Fill("kraken", "BTC/USD", "", 0, DAY + SECOND, True, Decimal(1), Decimal(1))
    days = [0, 2, 0, 3]
    frames = [
        kraken_v1(n, LATER + n, [replace(trade, time=trade.time + day * 86_400 * SECOND)])
        for n, day in enumerate(days)
    ]
    counters = play(received(frames, range(len(days))), tables)
    assert counters.total("duplicates") == 1
    assert tables.query("SELECT count() FROM silver_trades").item() == len(set(days))
    assert verify(tables.client).equal
    assert not check_totals(tables.client)
