"""Websockets as a source: receiving, subscribing, reconnecting, replacing, stopping."""

import asyncio
import json
import time
from typing import Any

import bytewax.operators as op
import polars as pl
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from websockets.asyncio.server import ServerConnection, broadcast
from websockets.http11 import Response

from candlewax.connectors import _link
from candlewax.connectors._hub import HubError
from candlewax.connectors.websocket import Websockets
from candlewax.decode import decode, not_utf8
from candlewax.exchanges import EXCHANGES
from candlewax.feed import Feed, Received
from candlewax.instruments import Instruments
from candlewax.schema import FRAMES, KIND_CONTROL
from candlewax.tally import Tally
from tests.connectors.exchange import (
    QUICK,
    Exchange,
    Reader,
    acknowledge,
    quick,
    running,
    trade,
)

BTC = {"binance": ["BTCUSDT"]}


def test_frames_come_verbatim_in_order_and_numbered() -> None:
    """What the exchange sends is what is emitted, under the columns of frames."""
    sent = [trade(1), '{"e" : "depthUpdate",\t"x":"é\\u00e9𝄞"}', "", "no JSON at all", trade(2)]

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for frame in sent:
            await connection.send(frame)
        await connection.wait_closed()

    before = time.time_ns()
    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: len(reader.frames) == 6)
        reader.finish()
    assert reader.frames == ['{"result":null,"id":1}', *sent]
    assert reader.numbers() == {"binance-0": list(range(len(reader.rows)))}
    times = [row[0] for row in reader.rows]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time_ns()


def test_batches_have_the_columns_of_frames() -> None:
    """A batch is a table of frames, as from any other source."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with running(Exchange(talk)) as (server, _):
        source = Websockets(
            BTC, {"binance": server.url}, Tally(), lambda: False, lives=quick("binance"), pace=QUICK
        )
        part = source.build_part("feed", "binance-0", None)
        items: list[Feed] = []
        while not items:
            items += part.next_batch()
        part.close()
    assert isinstance(items[0], Received)
    assert dict(items[0].frames.schema) == FRAMES


def test_binary_messages_are_text_or_garbled() -> None:
    """Bytes that are UTF-8 are text; all others keep their bytes and are dead letters."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(1).encode())
        await connection.send(b"\xff\xfe{}")
        # A text frame whose bytes are no UTF-8 does not end the connection either.
        connection.protocol.send_text(b'"\xc3"')
        connection.send_data()
        await connection.send(trade(2))
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: trade(2) in reader.frames)
        reader.finish()
    assert reader.frames[1:] == [trade(1), trade(2)]
    values = [value for garbled in reader.garbled for value in garbled.values]
    assert values == [b"\xff\xfe{}", b'"\xc3"']
    garbled = reader.garbled[0]
    assert garbled.frames["frame"][0] == "\\xff\\xfe{}"
    assert "invalid start byte" in garbled.details[0]
    decoded = not_utf8(garbled.exchange, garbled.frames, garbled.values, garbled.details)
    assert decoded.dead_letters["frame"][0] == values[0]


def test_instruments_are_dealt_out_to_connections() -> None:
    """No connection carries more than the exchange allows, and none is forgotten."""
    natives = [f"S{number}USDT" for number in range(450)]
    heard: list[list[str]] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        mine: list[str] = []
        heard.append(mine)
        while True:
            mine += (await acknowledge(connection))["params"]

    with (
        running(Exchange(talk)) as (server, _),
        Reader({"binance": natives}, {"binance": server.url}, quick("binance")) as reader,
    ):
        assert reader.source.list_parts() == ["binance-0", "binance-1", "binance-2"]
        reader.until(lambda: len(reader.events("subscribed")) == 3)
        reader.finish()
    assert sorted(name for mine in heard for name in mine) == sorted(
        f"{native.lower()}@trade" for native in natives
    )
    assert max(len(mine) for mine in heard) == 150


def test_fewer_instruments_a_connection_may_be_asked_for() -> None:
    """The limit of an exchange can be lowered, never raised."""
    plan = {"kraken": ["A/USD", "B/USD", "C/USD"], "binance": ["XUSDT"] * 2}
    few = Websockets(plan, {}, Tally(), lambda: False, per_connection={"kraken": 2})
    assert few.list_parts() == ["kraken-0", "kraken-1", "binance-0"]
    many = {"kraken": [f"S{number}/USD" for number in range(101)]}
    assert (
        len(
            Websockets(
                many, {}, Tally(), lambda: False, per_connection={"kraken": 999}
            ).list_parts()
        )
        == 2
    )


def test_a_subscription_without_an_answer_is_asked_for_anew() -> None:
    """Instruments that nobody confirms are named, and the connection is made anew."""

    async def talk(connection: ServerConnection, number: int) -> None:
        if number:
            await acknowledge(connection)
        await connection.wait_closed()

    pace = _link.Pace(**{**QUICK.__dict__, "answer_s": 0.1})
    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), pace) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    assert reader.events("unanswered")[0]["instruments"] == ["BTCUSDT"]
    assert reader.events("disconnected")[0]["why"] == "unanswered"
    assert reader.tally.total("connections", "binance", "unanswered") >= 1


def test_a_message_refused_as_a_whole_is_asked_for_one_by_one() -> None:
    """Only the instrument that is refused by itself is given up."""

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            bad = "badusdt@trade" in request["params"]
            await connection.send(
                f'{{"code":2,"msg":"Invalid request: no","id":{request["id"]}}}'
                if bad
                else f'{{"result":null,"id":{request["id"]}}}'
            )

    plan = {"binance": ["BTCUSDT", "BADUSDT", "ETHUSDT"]}
    with (
        running(Exchange(talk)) as (server, _),
        Reader(plan, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    assert reader.events("subscribed")[0]["instruments"] == ["BTCUSDT", "ETHUSDT"]
    refused = reader.events("refused")[-1]
    assert (refused["instruments"], refused["reason"]) == (["BADUSDT"], "Invalid request: no")
    assert server.count == 1


def test_a_lost_connection_is_made_anew_and_numbering_goes_on() -> None:
    """A drop is an event with its code and reason; no number is used twice."""

    async def talk(connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(number))
        if number == 0:
            await connection.close(1012, "restart")
        elif number == 1:
            connection.transport.abort()
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: trade(2) in reader.frames)
        reader.finish()
    closed, dropped, stopped = reader.events("disconnected")
    assert (closed["code"], closed["reason"], closed["by"]) == (1012, "restart", "exchange")
    assert (dropped["code"], dropped["by"]) == (1006, "exchange")
    assert (stopped["code"], stopped["by"]) == (1000, "us")
    assert reader.numbers() == {"binance-0": list(range(len(reader.rows)))}
    assert reader.tally.total("connections", "binance", "connected") == 3


def test_silence_is_noticed() -> None:
    """Where an exchange always says something, a connection without any message is dead."""

    async def talk(connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        while number:
            await connection.send("{}")
            await asyncio.sleep(0.01)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance", silent_s=0.3)) as reader,
    ):
        reader.until(lambda: len(reader.events("connected")) == 2)
        reader.until(lambda: "{}" in reader.frames)
        reader.finish()
    assert reader.events("silent")[0]["limit_s"] == 0.3
    assert reader.events("disconnected")[0]["why"] == "silent"


def test_heartbeats_do_not_hide_a_stall() -> None:
    """Only heartbeats for so long is a stall, and patience grows while nothing comes."""

    async def talk(connection: ServerConnection, _: int) -> None:
        request = json.loads(await connection.recv())
        for symbol in request["params"]["symbol"]:
            result = {"channel": "trade", "symbol": symbol}
            ack = {"method": "subscribe", "req_id": 1, "result": result, "success": True}
            await connection.send(json.dumps(ack))
        while True:
            await connection.send('{"channel":"heartbeat"}')
            await asyncio.sleep(0.01)

    lives = quick("kraken", silent_s=30, stalled_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, lives) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) == 3)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")] == [0.1, 0.2, 0.4]
    assert not reader.events("silent")


def test_trades_reset_the_patience() -> None:
    """A connection that brought trades before it stalled is no sign of a quiet market."""
    trades = '{"channel":"trade","type":"update","data":[]}'

    async def talk(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send(
            '{"method":"subscribe","success":true,"result":{"symbol":"BTC/USD"},"req_id":1}'
        )
        if number >= 2:
            await connection.send(trades)
        await connection.wait_closed()

    lives = quick("kraken", stalled_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, lives) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) == 4)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")] == [0.1, 0.2, 0.4, 0.1]


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


def ids(reader: Reader) -> dict[str, list[int]]:
    """The trades that came on each connection."""
    found: dict[str, list[int]] = {}
    for _, connection, _, frame in reader.rows:
        data = json.loads(frame).get("data")
        if data and "t" in data:
            found.setdefault(connection, []).append(data["t"])
    return found


def assert_nothing_lost(reader: Reader) -> None:
    came = sorted({number for numbers in ids(reader).values() for number in numbers})
    assert came == list(range(came[0], came[-1] + 1))
    for numbers in reader.numbers().values():
        assert numbers == list(range(len(numbers)))


def test_an_old_connection_is_replaced_without_loss() -> None:
    """Before it is too old a connection gets a successor, and both deliver for a while."""
    market = Numbering()
    lives = quick("binance", longest_s=0.3)
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


def test_an_exchange_that_asks_to_wait_is_heeded() -> None:
    """Too many attempts: the wait is the one the exchange names, and is an event."""

    def answer(number: int, connection: ServerConnection) -> Response | None:
        if number > 1:
            return None
        response = connection.respond(429 if number else 418, "slower")
        response.headers["Retry-After"] = "1" if number else "Thu, 01 Jan 2026 00:00:00 GMT"
        return response

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with (
        running(Exchange(talk, answer)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    teapot, often = reader.events("failed")
    assert ("418" in teapot["reason"], "429" in often["reason"]) == (True, True)
    assert teapot["retry_s"] < 1 <= often["retry_s"]


def test_nobody_listening_is_tried_again() -> None:
    """An exchange that is not there is an event, and no end of the feed."""
    url = "ws://name:secret@127.0.0.1:1/stream?key=secret"
    with Reader(BTC, {"binance": url}, quick("binance")) as reader:
        reader.until(lambda: len(reader.events("failed")) == 3)
        reader.finish()
    assert reader.events("failed")[0]["url"] == "ws://127.0.0.1:1"
    assert "secret" not in str(reader.rows)


def test_what_finds_no_room_is_counted_and_said() -> None:
    """Beyond the bound frames are dropped, none that is queued; the loss is an event."""
    total = 2000

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(total):
            await connection.send(trade(number))
        await connection.wait_closed()

    def accounted(reader: Reader) -> int:
        came = sum(map(len, ids(reader).values()))
        return came + sum(event["lost"] for event in reader.events("overflow"))

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), buffer_bytes=100_000) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - nobody takes for now
        deadline = time.monotonic() + 60
        while (held := sum(len(row[3]) + 200 for row in list(queue.rows))) < 99_000:
            assert time.monotonic() < deadline, held
            time.sleep(0.01)
        assert held < 101_000
        reader.until(lambda: accounted(reader) == total)
        reader.finish()
    lost = reader.tally.total("lost", "binance")
    assert sum(event["lost"] for event in reader.events("overflow")) == lost > 0
    came = [number for numbers in ids(reader).values() for number in numbers]
    assert len(came) + lost == total
    assert came[:100] == list(range(100))
    assert reader.numbers()["binance-0"] == list(range(len(reader.rows)))


def test_stopping_closes_politely_and_keeps_what_came() -> None:
    """All that was received before the end is emitted, then the source ends."""
    goodbye: list[Any] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(500):
            await connection.send(trade(number))
        await connection.wait_closed()
        goodbye.append(connection.close_code)

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - all came, none is taken
        deadline = time.monotonic() + 60
        while len(queue.rows) < 503:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reader.finish()
        while not goodbye:
            time.sleep(0.01)
    assert [number for numbers in ids(reader).values() for number in numbers] == list(range(500))
    assert goodbye == [1000]
    assert '"disconnected"' in reader.rows[-1][3]


def test_a_mistake_of_ours_ends_the_feed_with_its_cause() -> None:
    """A dead thread is not silence."""

    def hear(_: str) -> Any:
        raise ZeroDivisionError("a mistake")

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance", hear=hear)) as reader,
        pytest.raises(HubError) as raised,
    ):
        reader.until(lambda: False)
    assert "ZeroDivisionError" in repr(raised.value.__cause__)


def test_a_dataflow_ends_when_it_is_to_stop() -> None:
    """In a dataflow the parts share one thread, and the run ends by itself."""
    stop: list[str] = []

    async def talk(connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(number))
        await connection.wait_closed()

    def watch(item: Feed) -> Feed:
        assert isinstance(item, Received)
        stop.extend(frame for frame in item.frames["frame"] if '"trade"' in frame)
        return item

    with running(Exchange(talk)) as (server, _):
        source = Websockets(
            {"binance": ["BTCUSDT", "ETHUSDT"]},
            {"binance": server.url},
            Tally(),
            lambda: len(stop) == 2,
            per_connection={"binance": 1},
            lives=quick("binance"),
            pace=QUICK,
        )
        items: list[Feed] = []
        flow = Dataflow("live")
        op.output("out", op.map("watch", op.input("feed", flow, source), watch), TestingSink(items))
        run_main(flow)
    assert len(stop) == 2
    texts = [text for item in items if isinstance(item, Received) for text in item.frames["frame"]]
    assert sum('"disconnected"' in text for text in texts) == 2


@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_events_are_control_frames(exchange: str) -> None:
    """What happens to a connection is stored with its frames and is no dead letter."""
    with Reader({exchange: ["A"]}, {exchange: "ws://127.0.0.1:1"}, quick(exchange)) as reader:
        reader.until(lambda: reader.events("failed"))
        reader.finish()
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    decoded = decode(EXCHANGES[exchange], frames, Instruments({}))
    assert set(decoded.bronze["kind"]) == {KIND_CONTROL}
    assert decoded.dead_letters.is_empty()
