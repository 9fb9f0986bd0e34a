"""Websockets as a source: what is asked for, and what is refused."""

import json

from websockets.asyncio.server import ServerConnection

from candlewax.feeds.websocket import connection as _connection
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import QUICK, Exchange, Reader, acknowledge, quick, running

BTC = {"binance": ["BTCUSDT"]}


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
    few = WebSocketSource(plan, {}, Counters(), lambda: False, per_connection={"kraken": 2})
    assert few.list_parts() == ["kraken-0", "kraken-1", "binance-0"]
    many = {"kraken": [f"S{number}/USD" for number in range(101)]}
    assert (
        len(
            WebSocketSource(
                many, {}, Counters(), lambda: False, per_connection={"kraken": 999}
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

    pace = _connection.ConnectionTimeouts(**{**QUICK.__dict__, "answer_s": 0.1})
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


def test_refused_instrument_is_asked_for_until_it_is_subscribed() -> None:
    """On the same connection, told once when it is refused and once when it is subscribed."""
    asked: list[str] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            asked.extend(request["params"])
            bad = "badusdt@trade" in request["params"] and asked.count("badusdt@trade") < 5
            await connection.send(
                f'{{"code":2,"msg":"no","id":{request["id"]}}}'
                if bad
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
    assert asked.count("btcusdt@trade") == 2  # with the other one, and by itself
    assert server.count == 1


def test_refused_instrument_without_an_answer_ends_no_connection() -> None:
    """It is asked for again, and the others go on."""
    asked: list[list[str]] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        while True:
            request = json.loads(await connection.recv())
            asked.append(request["params"])
            if request["params"] != ["badusdt@trade"]:
                await connection.send(
                    f'{{"code":2,"msg":"no","id":{request["id"]}}}'
                    if len(request["params"]) > 1
                    else f'{{"result":null,"id":{request["id"]}}}'
                )
            elif asked.count(request["params"]) == 1:
                await connection.send(f'{{"code":2,"msg":"no","id":{request["id"]}}}')

    pace = _connection.ConnectionTimeouts(**{**QUICK.__dict__, "answer_s": 0.05})
    plan = {"binance": ["BTCUSDT", "BADUSDT"]}
    with (
        running(Exchange(talk)) as (server, _),
        Reader(plan, {"binance": server.url}, quick("binance"), pace) as reader,
    ):
        reader.until(lambda: asked.count(["badusdt@trade"]) >= 4)
        reader.finish()
    assert server.count == 1
    assert reader.events("unanswered") == []
