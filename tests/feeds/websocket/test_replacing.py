"""Websockets as a source: a connection takes over from another without loss."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection, broadcast

from tests.support.exchange_server import Exchange, Reader, acknowledge, ids, quick, running, trade

BTC = {"binance": ["BTCUSDT"]}


class Numbering:
    """Sends each trade to all who are connected, as exchanges do."""

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
    came = sorted({number for numbers in ids(reader).values() for number in numbers})
    assert came == list(range(came[0], came[-1] + 1))
    for numbers in reader.numbers().values():
        assert numbers == list(range(len(numbers)))


def test_an_old_connection_is_replaced_without_loss() -> None:
    """Before it is too old a connection gets a successor, and both deliver for a while."""
    market = Numbering()
    lives = quick("binance", max_age_s=0.3)
    with (
        running(Exchange(market.talk)) as (server, run),
        Reader(BTC, {"binance": server.url}, lives) as reader,
    ):
        reader.until(lambda: len(reader.events("disconnected")) >= 3)
        reader.finish()
        run(market.end())
    assert_nothing_lost(reader)
    assert set(ids(reader)) == {"binance-0", "binance-0b"}
    rotating = reader.events("rotating")
    assert [event["successor"] for event in rotating[:2]] == ["binance-0b", "binance-0"]
    assert {event["by"] for event in reader.events("disconnected")} == {"us"}


@pytest.mark.parametrize(
    "shutdown",
    [
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
        '{"event":{"e":"serverShutdown","E":1770123456789}}',
        '{"e":"serverShutdown","E":1770123456789}',
    ],
)
def test_an_announced_shutdown_is_not_waited_for(shutdown: str) -> None:
    """A successor is opened at once when the exchange says that it will go."""
    market = Numbering(shutdown)
    with (
        running(Exchange(market.talk)) as (server, run),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: reader.events("disconnected"))
        seen = market.number
        reader.until(lambda: seen + 20 in ids(reader).get("binance-0b", []))
        reader.finish()
        run(market.end())
    assert_nothing_lost(reader)
    assert reader.events("rotating")[0]["reason"] == "the exchange announced a shutdown"
    assert server.count == 2
