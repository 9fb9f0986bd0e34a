"""Websocket source: subscriptions, and refused symbols."""

import json

from websockets.asyncio.server import ServerConnection

from candlewax.exchanges.protocol.websocket import Ping
from candlewax.feeds.websocket.pacing import ConnectionTimeouts
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import QUICK, Exchange, Reader, acknowledge, quick, running

BTC = {"binance": ["BTCUSDT"]}


def test_symbols_are_distributed_over_connections_within_the_limit() -> None:
    """Each symbol is requested once."""
    natives = [f"S{number}USDT" for number in range(450)]
    requested: list[list[str]] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        symbols: list[str] = []
        requested.append(symbols)
        while True:
            symbols += (await acknowledge(connection))["params"]

    with (
        running(Exchange(talk)) as (server, _),
        Reader({"binance": natives}, {"binance": server.url}, quick("binance")) as reader,
    ):
        assert reader.source.list_parts() == ["binance-0", "binance-1", "binance-2"]
        reader.until(lambda: len(reader.events("subscribed")) == 3)
        reader.finish()
    assert sorted(name for symbols in requested for name in symbols) == sorted(
        f"{native.lower()}@trade" for native in natives
    )
    assert max(len(symbols) for symbols in requested) == 150


def test_per_connection_limit_can_be_lowered_but_not_raised() -> None:
    plan = {"kraken": ["A/USD", "B/USD", "C/USD"], "binance": ["XUSDT"] * 2}
    lowered = WebSocketSource(plan, {}, Counters(), lambda: False, per_connection={"kraken": 2})
    assert lowered.list_parts() == ["kraken-0", "kraken-1", "binance-0"]
    symbols = {"kraken": [f"S{number}/USD" for number in range(101)]}
    assert (
        len(
            WebSocketSource(
                symbols, {}, Counters(), lambda: False, per_connection={"kraken": 999}
            ).list_parts()
        )
        == 2
    )


def test_connection_is_replaced_when_a_subscription_is_unanswered() -> None:
    """The event names the symbols."""

    async def talk(connection: ServerConnection, number: int) -> None:
        if number:
            await acknowledge(connection)
        await connection.wait_closed()

    timeouts = ConnectionTimeouts(**{**QUICK.__dict__, "answer_s": 0.1})
    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), timeouts) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    assert reader.events("unanswered")[0]["instruments"] == ["BTCUSDT"]
    assert reader.events("disconnected")[0]["why"] == "unanswered"
    assert reader.tally.total("connections", "binance", "unanswered") >= 1


def test_refused_message_is_repeated_symbol_by_symbol() -> None:
    """Only the symbol that is refused alone is dropped."""

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            is_refused = "badusdt@trade" in request["params"]
            await connection.send(
                f'{{"code":2,"msg":"Invalid request: no","id":{request["id"]}}}'
                if is_refused
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


def test_refused_symbol_is_requested_again_until_it_is_subscribed() -> None:
    """On the same connection, with one event for the refusal and one for the subscription."""
    requested: list[str] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            requested.extend(request["params"])
            is_refused = (
                "badusdt@trade" in request["params"] and requested.count("badusdt@trade") < 5
            )
            await connection.send(
                f'{{"code":2,"msg":"no","id":{request["id"]}}}'
                if is_refused
                else f'{{"result":null,"id":{request["id"]}}}'
            )

    plan = {"binance": ["BTCUSDT", "BADUSDT"]}
    with (
        running(Exchange(talk)) as (server, _),
        Reader(plan, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: len(reader.events("subscribed")) == 2)
        reader.finish()
    assert [event["instruments"] for event in reader.events("subscribed")] == [
        ["BTCUSDT"],
        ["BADUSDT"],
    ]
    assert [e["instruments"] for e in reader.events("refused")].count(["BADUSDT"]) == 1
    assert requested.count("btcusdt@trade") == 2  # with the other one, and by itself
    assert server.count == 1


def test_unanswered_repeat_of_a_refused_symbol_ends_no_connection() -> None:
    """The symbol is requested again."""
    requests: list[list[str]] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            requests.append(request["params"])
            if request["params"] != ["badusdt@trade"]:
                await connection.send(
                    f'{{"code":2,"msg":"no","id":{request["id"]}}}'
                    if len(request["params"]) > 1
                    else f'{{"result":null,"id":{request["id"]}}}'
                )
            elif requests.count(request["params"]) == 1:
                await connection.send(f'{{"code":2,"msg":"no","id":{request["id"]}}}')

    timeouts = ConnectionTimeouts(**{**QUICK.__dict__, "answer_s": 0.05})
    plan = {"binance": ["BTCUSDT", "BADUSDT"]}
    with (
        running(Exchange(talk)) as (server, _),
        Reader(plan, {"binance": server.url}, quick("binance"), timeouts) as reader,
    ):
        reader.until(lambda: requests.count(["badusdt@trade"]) >= 4)
        reader.finish()
    assert server.count == 1
    assert reader.events("unanswered") == []


def test_pings_that_the_exchange_expects_are_sent_until_the_end() -> None:
    """The answers are recorded like any frame."""
    pings: list[str | bytes] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        async for message in connection:
            pings.append(message)
            await connection.send("pong")

    rules = quick("binance", ping=Ping("ping", every_s=0.01))
    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, rules) as reader,
    ):
        reader.until(lambda: reader.frames.count("pong") >= 2)
        reader.finish()
    assert set(pings) == {"ping"}
