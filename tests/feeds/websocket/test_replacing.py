"""Websocket source: a successor takes over from a connection without loss."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, broadcast

from tests.support.exchange_server import Exchange, Reader, acknowledge, ids, quick, running, trade

BTC = {"binance": ["BTCUSDT"]}


class Market:
    """A market that sends each trade to every connection."""

    def __init__(self, shutdown: str = "") -> None:
        self.number = 0
        self.listeners: set[ServerConnection] = set()
        self._shutdown = shutdown

    async def talk(self, connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        if number == 0:
            self._task = asyncio.create_task(self._publish())
        self.listeners.add(connection)
        try:
            if number == 0 and self._shutdown:
                await connection.send(self._shutdown)
            await connection.wait_closed()
        finally:
            self.listeners.discard(connection)

    async def _publish(self) -> None:
        while True:
            self.number += 1
            broadcast(self.listeners, trade(self.number))
            await asyncio.sleep(0.001)

    async def end(self) -> None:
        self._task.cancel()


def assert_nothing_lost(reader: Reader) -> None:
    received = sorted({number for numbers in ids(reader).values() for number in numbers})
    assert received == list(range(received[0], received[-1] + 1))
    for numbers in reader.numbers().values():
        assert numbers == list(range(len(numbers)))


def test_connection_is_replaced_before_its_maximum_age_without_loss() -> None:
    """Both connections deliver for a while."""
    market = Market()
    rules = quick("binance", max_age_s=0.3)
    with (
        running(Exchange(market.talk)) as (server, run),
        Reader(BTC, {"binance": server.url}, rules) as reader,
    ):
        reader.until(lambda: len(reader.events("disconnected")) >= 3)
        reader.finish()
        run(market.end())
    assert_nothing_lost(reader)
    assert set(ids(reader)) == {"binance-0", "binance-0b"}
    rotations = reader.events("rotating")
    assert [event["successor"] for event in rotations[:2]] == ["binance-0b", "binance-0"]
    assert {event["by"] for event in reader.events("disconnected")} == {"us"}


@pytest.mark.parametrize(
    "shutdown",
    [
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        '{"event":{"e":"serverShutdown","E":1770123456789}}',
        '{"e":"serverShutdown","E":1770123456789}',
    ],
)
def test_connection_is_replaced_at_once_on_an_announced_shutdown(shutdown: str) -> None:
    market = Market(shutdown)
    with (
        running(Exchange(market.talk)) as (server, run),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: reader.events("disconnected"))
        last_number = market.number
        reader.until(lambda: last_number + 20 in ids(reader).get("binance-0b", []))
        reader.finish()
        run(market.end())
    assert_nothing_lost(reader)
    assert reader.events("rotating")[0]["reason"] == "the exchange announced a shutdown"
    assert server.count == 2
