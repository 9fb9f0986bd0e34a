"""Websocket source: lost, silent and stalled connections are replaced."""

import asyncio
import json

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from tests.support.exchange_server import Exchange, Reader, acknowledge, quick, running, trade

BTC = {"binance": ["BTCUSDT"]}


def test_lost_connection_is_replaced_and_frame_numbers_continue() -> None:
    """The event holds code and reason."""

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
    closed, dropped, ended = reader.events("disconnected")
    assert (closed["code"], closed["reason"], closed["by"]) == (1012, "restart", "exchange")
    assert (dropped["code"], dropped["by"]) == (1006, "exchange")
    assert (ended["code"], ended["by"]) == (1000, "us")
    assert reader.numbers() == {"binance-0": list(range(len(reader.rows)))}
    assert reader.tally.total("connections", "binance", "connected") == 3


def test_connection_without_any_message_is_replaced() -> None:
    """For exchanges that send heartbeats."""

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


def test_connection_with_heartbeats_only_is_replaced_with_a_growing_limit() -> None:
    async def talk(connection: ServerConnection, _: int) -> None:
        request = json.loads(await connection.recv())
        for symbol in request["params"]["symbol"]:
            result = {"channel": "trade", "symbol": symbol}
            ack = {"method": "subscribe", "req_id": 1, "result": result, "success": True}
            await connection.send(json.dumps(ack))
        while True:
            await connection.send('{"channel":"heartbeat"}')
            await asyncio.sleep(0.01)

    rules = quick("kraken", dead_after_s=30, stalled_after_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, rules) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) >= 3)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")][:3] == [0.1, 0.2, 0.4]
    assert not reader.events("silent")


def test_stall_limit_is_reset_by_trades() -> None:
    """A connection that brought trades is no sign of a quiet market."""
    trades = '{"channel":"trade","type":"update","data":[]}'

    async def talk(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send(
            '{"method":"subscribe","success":true,"result":{"symbol":"BTC/USD"},"req_id":1}'
        )
        if number >= 2:
            await connection.send(trades)
        await connection.wait_closed()

    rules = quick("kraken", stalled_after_s=0.1)
    with (
        running(Exchange(talk)) as (server, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": server.url}, rules) as reader,
    ):
        reader.until(lambda: len(reader.events("stalled")) >= 4)
        reader.finish()
    assert [event["limit_s"] for event in reader.events("stalled")][:4] == [0.1, 0.2, 0.4, 0.1]


def test_reconnect_waits_for_retry_after() -> None:
    """The wait is part of the event."""

    def respond(number: int, connection: ServerConnection) -> Response | None:
        if number > 1:
            return None
        response = connection.respond(429 if number else 418, "slower")
        response.headers["Retry-After"] = "1" if number else "Thu, 01 Jan 2026 00:00:00 GMT"
        return response

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with (
        running(Exchange(talk, respond)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    banned, rate_limited = reader.events("failed")
    assert ("418" in banned["reason"], "429" in rate_limited["reason"]) == (True, True)
    assert banned["retry_s"] < 1 <= rate_limited["retry_s"]


def test_unreachable_exchange_is_retried() -> None:
    """The event holds the URL without its secrets."""
    url = "ws://name:secret@127.0.0.1:1/stream?key=secret"
    with Reader(BTC, {"binance": url}, quick("binance")) as reader:
        reader.until(lambda: len(reader.events("failed")) >= 3)
        reader.finish()
    assert reader.events("failed")[0]["url"] == "ws://127.0.0.1:1"
    assert "secret" not in str(reader.rows)
