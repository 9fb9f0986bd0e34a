"""Changes of the subscribed markets while frames come, over real sockets."""

from typing import Any

from websockets.asyncio.server import ServerConnection

from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import (
    QUICK,
    Exchange,
    Reader,
    acknowledge,
    ids,
    quick,
    running,
    trade,
)
from tests.support.kafka.reading import until as wait_for

TWO = {"binance": ["BTCUSDT", "SOLUSDT"]}


class Market(Exchange):
    """An exchange whose clients get the trades of what they subscribed."""

    def __init__(self) -> None:
        self.open: list[tuple[ServerConnection, set[str]]] = []
        self.subscribed: list[set[str]] = []
        self.before_answer: list[int] = []
        """Numbers of trades that are sent to all once the next client asks, before its answer."""
        super().__init__(self._serve)

    async def _serve(self, connection: ServerConnection, _: int) -> None:
        symbols: set[str] = set()
        self.open.append((connection, symbols))
        if self.before_answer:
            await self.publish("BTCUSDT", self.before_answer.pop(0))
        request = await acknowledge(connection)
        symbols |= {stream.partition("@")[0].upper() for stream in request["params"]}
        self.subscribed.append(set(symbols))
        await connection.wait_closed()

    async def publish(self, symbol: str, number: int) -> None:
        """Send a trade to the clients that subscribed its market."""
        for connection, symbols in self.open:
            if symbol in symbols and connection.state.name == "OPEN":
                await connection.send(trade(number, symbol))


def test_changed_markets_lose_no_frame_of_one_that_stays() -> None:
    """The successor is subscribed before the connection with the old markets closes."""
    server: Any
    with (
        running(Market()) as (server, run),
        Reader(TWO, {"binance": server.url}, quick("binance")) as reader,
    ):  # fmt: skip
        reader.until(lambda: reader.events("subscribed"))
        run(server.publish("BTCUSDT", 1))
        server.before_answer = [2]
        assert reader.source.change({"binance": ["BTCUSDT", "ETHUSDT"]}) == []
        reader.until(lambda: reader.events("disconnected"))
        run(server.publish("BTCUSDT", 3))
        run(server.publish("ETHUSDT", 7))
        run(server.publish("SOLUSDT", 9))
        reader.until(lambda: 7 in ids(reader).get("binance-0b", []))
        reader.finish()
    assert ids(reader) == {"binance-0": [1, 2], "binance-0b": [3, 7]}
    assert server.subscribed == [{"BTCUSDT", "SOLUSDT"}, {"BTCUSDT", "ETHUSDT"}]
    assert [event["instruments"] for event in reader.events("added")] == [["ETHUSDT"]]
    assert [event["instruments"] for event in reader.events("dropped")] == [["SOLUSDT"]]
    (rotating,) = reader.events("rotating")
    assert rotating["reason"] == "its markets have changed"


def test_exchange_may_lose_all_markets_and_get_others() -> None:
    """An exchange that had none at the start is read too; one that is unknown is told."""
    server: Any
    with (
        running(Market()) as (server, run),
        Reader({"binance": []}, {"binance": server.url}, quick("binance")) as reader,
    ):
        assert reader.source.change({"binance": ["BTCUSDT"], "kraken": ["BTC/USD"]}) == ["kraken"]
        reader.until(lambda: len(reader.events("subscribed")) == 1)
        assert reader.source.change({}) == []
        reader.until(lambda: reader.events("disconnected"))
        assert reader.source.change({"binance": ["ETHUSDT"]}) == []
        reader.until(lambda: len(reader.events("subscribed")) == 2)
        run(server.publish("ETHUSDT", 1))
        reader.until(lambda: ids(reader))
        reader.finish()
    assert ids(reader) == {"binance-1": [1]}
    assert [event["instruments"] for event in reader.events("dropped")] == [["BTCUSDT"]]
    assert {name: list(range(len(n))) for name, n in reader.numbers().items()} == reader.numbers()


def test_markets_changed_before_the_source_begins_are_those_it_reads() -> None:
    """A signal may come during the start."""
    server: Any
    with running(Market()) as (server, _):
        source = WebSocketSource(
            {"binance": ["BTCUSDT"]}, {"binance": server.url}, Counters(), lambda: False,
            rules=quick("binance"), timeouts=QUICK, per_connection={"binance": 1},
        )  # fmt: skip
        source.change({"binance": ["ETHUSDT", "SOLUSDT"]})
        (name,) = source.list_parts()
        part = source.build_part("feed", name, None)
        wait_for(lambda: len(server.subscribed) == 2)
        part.close()
    assert sorted(server.subscribed, key=min) == [{"ETHUSDT"}, {"SOLUSDT"}]
