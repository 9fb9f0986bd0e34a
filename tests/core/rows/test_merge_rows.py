"""Batches of rows of several exchanges, merged to be stored together."""

from dataclasses import replace

import pytest

from candlewax.core.rows.columns import batch_columns, merge_rows
from candlewax.core.rows.row_batch import RowBatch
from tests.support.writer_batches import candle_batches


def batches(exchange: str, *seconds: int) -> list[RowBatch]:
    """A batch for each trade of an exchange at these seconds."""
    return [replace(each, exchange=exchange) for each in candle_batches(*seconds)]


@pytest.mark.parametrize("stores_trades", [True, False])
def test_batches_of_each_exchange_become_one_as_if_they_were_alone(stores_trades: bool) -> None:
    """Trades that another process stores keep only their time of receipt."""
    one, two = batches("binance", 0, 1, 62), batches("kraken", 5, 6)
    heartbeat = replace(one[0], exchange="coinbase", candles=())
    rows = [one[0], two[0], one[1], heartbeat, two[1], one[2]]
    merged = merge_rows([replace(each, stores_trades=stores_trades) for each in rows])
    for batch, alone in zip(merged, map(batch_columns, (one, two, [heartbeat])), strict=True):
        kept = alone.tables if stores_trades else {"ohlcv", "watermarks"} & alone.tables.keys()
        assert set(batch.tables) == set(kept)
        assert all(batch.tables[name].equals(alone.tables[name]) for name in kept)
        trades = alone.trades if stores_trades else alone.trades.select("received_at")
        assert batch.trades.equals(trades)
    assert [batch.tables["ohlcv"].height for batch in merged[:2]] == [7, 6]
