"""Binance as its clients see it."""

import asyncio
import base64
import json
from typing import Any

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import PATIENCE, Ear, heard, listen, told, wait_until

BOTH = ("binance", "binance_usdm")
each = pytest.mark.parametrize("exchange", BOTH)


async def answers(exchange: str, *messages: Any) -> list[Any]:
    """The answer to each message of a client."""
    async with Simulator(Plan(starts_paused=True)) as simulator, listen(simulator, exchange) as ear:
        found = []
        for message in messages:
            await ear.say(message)
            found.append(await ear.next())
        assert set(decoding.kinds(exchange, *ear.texts)) == {"control"}
        return found


@each
def test_requests_are_answered(exchange: str) -> None:
    """Each answer carries the id of its request; unknown streams are taken, too."""
    names = ["btcusdt@trade", "nonsense@trade"]
    found = asyncio.run(
        answers(
            exchange,
            {"method": "SUBSCRIBE", "params": names, "id": 1},
            {"method": "LIST_SUBSCRIPTIONS", "id": "two"},
            {"method": "UNSUBSCRIBE", "params": names[:1], "id": None},
            {"method": "LIST_SUBSCRIPTIONS", "id": 4},
        )
    )
    assert found == [
        {"result": None, "id": 1},
        {"result": names, "id": "two"},
        {"result": None, "id": None},
        {"result": names[1:], "id": 4},
    ]


@pytest.mark.parametrize(
    ("message", "code", "number"),
    [
        ("nonsense", 3, None),
        ("[]", 2, None),
        ({"id": 7}, 2, 7),
        ({"method": "DANCE", "id": 8}, 2, 8),
        ({"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 9}, 2, 9),
        ({"method": "SUBSCRIBE", "params": [1], "id": 9}, 2, 9),
    ],
)
def test_a_malformed_request_gets_an_error(message: Any, code: int, number: int | None) -> None:
    """The connection goes on, and the error says which request it was."""
    error, ack = asyncio.run(
        answers("binance", message, {"method": "SUBSCRIBE", "params": [], "id": 10})
    )
    assert error["error"]["code"] == code
    assert error["error"]["msg"].startswith("Invalid ")
    assert error["id"] == number
    assert ack == {"result": None, "id": 10}


async def played(path: str, exchange: str = "binance") -> tuple[Ear, Simulator]:
    """What comes on a connection that names its streams in its address."""
    plan = Plan(rate=20_000, trades=500, starts_paused=True)
    async with Simulator(plan) as simulator:
        url = f"ws://127.0.0.1:{simulator.port}{path}"
        async with listen(simulator, exchange, url) as ear:
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            return ear, simulator


@pytest.mark.parametrize(
    ("path", "bare", "unit_us"),
    [
        ("/binance/stream?streams=btcusdt@trade/ethusdt@trade", False, 1000),
        ("/binance/ws/btcusdt@trade/ethusdt@trade", True, 1000),
        ("/binance/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND", False, 1),
        ("/binance/ws/btcusdt@trade/ethusdt@trade?timeUnit=microsecond", True, 1),
    ],
)
def test_streams_may_stand_in_the_address(path: str, bare: bool, unit_us: int) -> None:
    """In an envelope or bare, in milliseconds or microseconds; E and T are of one kind."""
    ear, simulator = asyncio.run(played(path))
    wanted = [
        one for one in simulator.journal if one.trade.market.native_symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert heard(ear) == told(wanted, "binance", unit_us)
    first = json.loads(ear.texts[0])
    assert (first.keys() == {"stream", "data"}) != bare
    trade = first if bare else first["data"]
    assert trade["e"] == "trade"
    assert len(str(trade["E"])) == len(str(trade["T"])) == (13 if unit_us == 1000 else 16)


def test_a_stream_may_be_left() -> None:
    """After UNSUBSCRIBE nothing more comes; names are lowercase, or nobody knows them."""

    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as ear:
            await ear.subscribe("BTCUSDT", "ETHUSDT")
            await ear.say({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 2})
            await ear.say({"method": "SUBSCRIBE", "params": ["SOLUSDT@trade"], "id": 3})
            await ear.until(lambda text: '"id":3' in text)
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            assert {name for name, *_ in heard(ear)} == {"ETHUSDT"}

    asyncio.run(leave())


def test_a_refused_symbol_is_silent() -> None:
    """It is acknowledged, for so is any name."""

    async def listening() -> None:
        plan = Plan(
            rate=20_000, trades=500, starts_paused=True, fault_rates=FaultRates(refuse=("BTCUSDT",))
        )
        async with Simulator(plan) as simulator, listen(simulator, "binance") as ear:
            simulator.refuse("SOLUSDT")
            await ear.subscribe("BTCUSDT", "ETHUSDT", "SOLUSDT")
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            assert {name for name, *_ in heard(ear)} == {"ETHUSDT"}

    asyncio.run(listening())


@each
def test_too_many_messages_end_the_connection(exchange: str) -> None:
    """More than five within a second are against the rules."""

    async def chat() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, exchange) as ear,
        ):
            for number in range(60):
                ear.connection.protocol.send_text(
                    json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}).encode()
                )
            ear.connection.send_data()
            assert await ear.closed() == (1008, "Too many requests")
            assert 5 <= len(ear.texts) < 60

    asyncio.run(chat())


@pytest.mark.parametrize("count", [1024, 1025])
def test_a_connection_has_so_many_streams(count: int) -> None:
    """1024 are taken, one more ends the connection."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "binance") as ear,
        ):
            streams = [f"a{number}usdt@trade" for number in range(count)]
            await ear.say({"method": "SUBSCRIBE", "params": streams, "id": 1})
            if count == 1024:
                assert await ear.next() == {"result": None, "id": 1}
            else:
                assert await ear.closed() == (1008, "Too many streams")

    asyncio.run(ask())


@pytest.mark.parametrize("path", ["/binance/stream", "/binance/ws"])
def test_an_old_connection_ends_after_a_notice(path: str) -> None:
    """The end is announced, and comes."""

    async def grow_old() -> None:
        limits = ExchangeLimits(age=0.2, notice=0.1)
        async with Simulator(Plan(starts_paused=True, limits=limits)) as simulator:
            url = f"ws://127.0.0.1:{simulator.port}{path}"
            async with listen(simulator, "binance", url) as ear:
                event = await ear.next()
                event = event["event"] if path.endswith("stream") else event
                assert event.keys() == {"e", "E"}
                assert event["e"] == "serverShutdown"
                assert decoding.kinds("binance", *ear.texts) == ["control"]
                assert (await ear.closed())[0] == 1001

    asyncio.run(grow_old())


def test_the_end_can_be_announced() -> None:
    """Clients hear of it when asked for, and when the simulator stops."""

    async def announce() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "binance") as ear,
        ):
            simulator.announce_end("binance")
            assert "serverShutdown" in await ear.next_text()

    asyncio.run(announce())


HANDSHAKE = (
    "GET /{}/stream?streams=btcusdt@trade HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
)


@each
def test_who_does_not_answer_pings_is_dropped(exchange: str) -> None:
    """A client is pinged, and cut without a close frame when no pong comes."""

    async def ignore() -> bytes:
        limits = ExchangeLimits(ping_every=0.01, pong_within=0.05)
        async with Simulator(Plan(starts_paused=True, limits=limits)) as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            key = base64.b64encode(bytes(16)).decode()
            writer.write(HANDSHAKE.format(exchange, key).encode())
            async with asyncio.timeout(PATIENCE):
                assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
                rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            return rest

    ping = asyncio.run(ignore())
    # A final ping of four bytes, and nothing behind it.
    assert ping[:2] == bytes((0x89, 4))
    assert len(ping) == 6


def test_who_answers_pings_stays() -> None:
    """Ping after ping is answered by the client's library."""

    async def answer() -> None:
        limits = ExchangeLimits(ping_every=0.01, pong_within=PATIENCE)
        plan = Plan(starts_paused=True, limits=limits)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as ear:
            (client,) = simulator.connections()
            await wait_until(lambda: client.pongs >= 3)
            await ear.catch_up()

    asyncio.run(answer())
