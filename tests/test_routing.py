"""Trades as they come from the normalized topic, and what they tell."""

import json
from typing import Any

from candlewax.connectors.clickhouse import Database
from candlewax.connectors.consumer import Consumed
from candlewax.connectors.history import History
from candlewax.routing import Normalized
from candlewax.steps import Deduplicate
from candlewax.tally import Tally
from tests.test_normalized import trade


class Message:
    """A message of a broker."""

    def __init__(self, offset: int, value: Any) -> None:
        self._offset = offset
        self._value = json.dumps(value).encode()

    def value(self) -> bytes:
        return self._value

    def offset(self) -> int:
        return self._offset


def consumed(*values: Any) -> Consumed:
    messages: Any = [Message(offset, value) for offset, value in enumerate(values)]
    return Consumed("t", 0, messages)


def test_outages_go_to_their_exchange() -> None:
    """With the trades that tell of them."""
    read = Normalized(["binance", "kraken"])
    found = read(
        consumed(
            trade(outages=[[1, 2]]),
            trade(exchange="kraken", outages=[[3, 4], [5, 6]]),
            trade(exchange="coinbase", outages=[[7, 8]]),
            trade(trade_id="8", sequence=8),
        )
    )
    told = {exchange: decoded.outages.rows() for exchange, decoded in found}
    assert told == {"binance": [(1, 2)], "kraken": [(3, 4), (5, 6)]}


def test_whoever_reads_trades_knows_of_the_outages_and_the_holes(tables: Database) -> None:
    """As whoever stored them does, and writes no gaps of its own."""
    read = Normalized(["binance"])
    step = Deduplicate(History(tables), Tally(), None, stores=False)
    values = [trade(trade_id=str(n), sequence=n) for n in (3, 9, 4)]
    values[1]["outages"] = [[1, 2]]
    ((_, decoded),) = read(consumed(*values))
    ((batch,), _) = step.on_batch([decoded])
    assert batch.known.outages.rows() == [(1, 2)]
    at = values[0]["timestamp"]
    assert batch.known.holes.rows() == [("BTC/USDT", 5, 8, at, at)]
    assert batch.known.begins.rows() == [("BTC/USDT", 3, at)]
    assert set(batch.tables) == {"dead_letters"}
