"""Websockets as a source: what is lost, silent or stalled is made anew."""

import asyncio
import json

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from tests.support.exchange_server import Exchange, Reader, acknowledge, quick, running, trade

BTC = {"binance": ["BTCUSDT"]}


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
        Reader(BTC, {"binance": server.url}, quick("binance", dead_after_s=0.3)) as reader,
    ):
        reader.until(lambda: len(reader.events("connected")) >= 2)
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

    lives = quick("kraken", dead_after_s=30, stalled_after_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, lives) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) >= 3)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")][:3] == [0.1, 0.2, 0.4]
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

    lives = quick("kraken", stalled_after_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, lives) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) >= 4)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")][:4] == [0.1, 0.2, 0.4, 0.1]


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
        reader.until(lambda: len(reader.events("failed")) >= 3)
        reader.finish()
    assert reader.events("failed")[0]["url"] == "ws://127.0.0.1:1"
    assert "secret" not in str(reader.rows)
